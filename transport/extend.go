package transport

import "time"

// A Patient is a Conn whose peer drops a connection that is not read. Patience returns how long
// the connection may stay unread. If the consumer is slower and there is a position to resume
// from, the connection is closed, and resumed once the consumer has space. Zero or less means
// no limit.
type Patient interface {
	Patience() time.Duration
}

// An Expirer is a Conn that knows in advance that it will end. OnExpiring is called once. The
// Conn calls replace at most once, from any goroutine: a successor is then opened while this
// Conn is still read. replace does not block.
type Expirer interface {
	OnExpiring(replace func())
}

// A Resumer is a Conn of a transport that cannot present every token. Resumes reports whether
// the connection started at the position given to Open.
type Resumer interface {
	Resumes() bool
}

// A ReaderTo is a Conn with a Read that does not copy the message, for feeds of many small
// messages. ReadTo is called instead of Read. It sets every field of m or returns an error.
type ReaderTo interface {
	ReadTo(m *Message) error
}

// An Offerer is a Conn that receives each message on a goroutine that waits until the message
// is settled. Offer is called at most once, before Read. The Conn may then call take, from any
// goroutine, with the message that Read would return next: true means that the message has been
// taken over, false that Read must return it. take does not block.
type Offerer interface {
	Offer(take func(m *Message) bool)
}

// A Lingerer is a Conn that has work to do after ErrEnd. If Lingers returns true, Close is
// called only once every event of the subscription is settled or the subscription is closed.
type Lingerer interface {
	Lingers() bool
}

// An ExtendedConn is a Conn with every optional method.
type ExtendedConn interface {
	Conn
	Patient
	Expirer
	Resumer
	ReaderTo
	Offerer
	Lingerer
}

// Extend returns c with every optional method. Where c lacks one, the result waits without
// limit, never expires, resumes, copies each message, offers none and does not linger. A Conn
// that wraps another one embeds the result, and so also forwards methods that later versions
// add. A wrapper that must see each message defines Read, ReadTo and Offer; an Offer that does
// nothing sends every message through Read.
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
