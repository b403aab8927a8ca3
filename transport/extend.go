package transport

import "time"

// A Patient is a Conn whose peer takes it for dead when nothing is read. When Read was not
// called for the duration that Patience returns, because the consumer has enough to do, and
// there is a position to resume from, the connection is closed, and resumed once there is
// space again. Zero or less means that it can wait without limit.
type Patient interface {
	Patience() time.Duration
}

// An Expirer is a Conn that learns before its end that it will end. OnExpiring is called
// once. The Conn calls replace at most once, from any goroutine, and replace does not block:
// a successor is then opened while this Conn is still read.
type Expirer interface {
	OnExpiring(replace func())
}

// A Resumer is a Conn of a transport that cannot present every token. False means that the
// connection did not begin at the position that Open was given.
type Resumer interface {
	Resumes() bool
}

// A ReaderTo is a Conn that brings so many small messages that copying them counts. ReadTo is
// Read, called instead of it, and sets every field of m, or returns an error.
type ReaderTo interface {
	ReadTo(m *Message) error
}

// An Offerer is a Conn whose messages come on goroutines of their own, which wait for their
// fate. Offer is called at most once, before Read. The Conn may then call take, from any
// goroutine, with what Read would return next: true means that the message has been taken
// into keeping, false that Read must return it. take does not wait.
type Offerer interface {
	Offer(take func(m *Message) bool)
}

// A Lingerer is a Conn that has something to do after ErrEnd. True means that Close is called
// only once every event of the subscription is settled, or the subscription is closed.
type Lingerer interface {
	Lingers() bool
}

// An ExtendedConn is a Conn with every optional ability.
type ExtendedConn interface {
	Conn
	Patient
	Expirer
	Resumer
	ReaderTo
	Offerer
	Lingerer
}

// Extend returns c with every optional ability. One that c does not have behaves as its
// absence does: it waits without limit, never expires, resumes, copies each message, offers
// none and does not linger. A Conn that wraps another one embeds the result and has what will
// be added here too. If it must see each message, it has its own Read, ReadTo and Offer; an
// Offer that does nothing brings all of them to Read.
func Extend(c Conn) ExtendedConn {
	if x, ok := c.(ExtendedConn); ok {
		return x
	}
	return extended{c}
}

type extended struct{ Conn }

var (
	_ ExtendedConn = extended{}
	_ ReaderTo     = (*httpConn)(nil)
	_ Patient      = (*socketConn)(nil)
	_ Resumer      = (*socketConn)(nil)
	_ Expirer      = (*expiringConn)(nil)
	_ Offerer      = (*webhookConn)(nil)
	_ Lingerer     = (*webhookConn)(nil)
)

func (c extended) Patience() time.Duration {
	if p, ok := c.Conn.(Patient); ok {
		return p.Patience()
	}
	return 0
}

func (c extended) OnExpiring(replace func()) {
	if e, ok := c.Conn.(Expirer); ok {
		e.OnExpiring(replace)
	}
}

func (c extended) Resumes() bool {
	r, ok := c.Conn.(Resumer)
	return !ok || r.Resumes()
}

func (c extended) ReadTo(m *Message) (err error) {
	if r, ok := c.Conn.(ReaderTo); ok {
		return r.ReadTo(m)
	}
	read, err := c.Conn.Read()
	if err == nil {
		*m = read
	}
	return err
}

func (c extended) Offer(take func(m *Message) bool) {
	if o, ok := c.Conn.(Offerer); ok {
		o.Offer(take)
	}
}

func (c extended) Lingers() bool {
	l, ok := c.Conn.(Lingerer)
	return ok && l.Lingers()
}
