package channel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A source is one channel of a Mux.
type source struct {
	mux  *Mux
	name string
}

func (c *source) Validate() error {
	err := c.mux.validate()
	if c.name == "" {
		err = errors.Join(err, errors.New("Mux.Channel: the name is empty"))
	}
	return err
}

// Open subscribes to the channel and returns once the server has acknowledged it.
func (c *source) Open(ctx context.Context, token string) (*transport.Session, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := c.Validate(); err != nil {
		return nil, &final{fmt.Errorf("channel: %w", err)}
	}
	m, err := c.mux.join(c.name, token)
	if err != nil {
		return nil, err
	}
	if err := m.open(ctx); err != nil {
		m.leave()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	// A position that the server does not know, or a channel without positions, is up to OnMessage.
	return &transport.Session{Conn: newConn(ctx, m), Resumes: true}, nil
}

// A conn is an open channel.
type conn struct {
	member *member
	batch  []transport.Message // taken from the queue
	at     int                 // the next one of batch
	err    error               // of the last Read

	unlink func() bool   // from the context given to Open
	linked chan struct{} // closed when the end of that context has been handled
	close  sync.Once
	closed chan struct{}
}

func newConn(ctx context.Context, m *member) *conn {
	c := &conn{member: m, linked: make(chan struct{}), closed: make(chan struct{})}
	c.unlink = context.AfterFunc(ctx, func() {
		defer close(c.linked)
		m.queue.stop(context.Cause(ctx))
		m.leave()
	})
	return c
}

func (c *conn) Read(m *transport.Message) error {
	for c.at == len(c.batch) {
		if c.err != nil {
			return c.err
		}
		c.take(true)
	}
	*m = c.batch[c.at]
	c.batch[c.at] = transport.Message{}
	if c.at++; c.at == len(c.batch) && c.err == nil {
		c.take(false)
	}
	m.More = c.at < len(c.batch) || c.err != nil
	return nil
}

func (c *conn) take(wait bool) {
	c.at = 0
	c.batch, c.err = c.member.queue.take(c.batch, wait)
}

// Close ends the channel. The last one closes the connection.
func (c *conn) Close() error {
	first := false
	c.close.Do(func() { first = true })
	if !first {
		<-c.closed
		return nil
	}
	defer close(c.closed)
	if !c.unlink() {
		<-c.linked
	}
	c.member.queue.stop(errClosed)
	c.member.leave()
	return nil
}

// A member is an attempt to open a channel, and the channel once it is open.
type member struct {
	link    *link
	request Request
	changed chan struct{} // one token: a field below has changed, or the link has
	queue   queue

	// Guarded by the mutex of the Mux.
	state  state
	sent   time.Time // when the request was sent; zero while it waits
	err    error     // why it is over
	acked  bool      // it has been open
	dirty  bool      // messages before the acknowledgement may be those of an earlier channel
	missed bool      // such a message was dropped
	gone   bool      // leave was called
}

type state uint8

const (
	waiting   state = iota // the request must still be sent
	requested              // the acknowledgement must still arrive
	open
	over
)

// open subscribes. The caller calls leave after an error.
func (m *member) open(ctx context.Context) error {
	if err := m.awaitLink(ctx); err != nil {
		return err
	}
	if err := m.awaitDeparture(ctx); err != nil {
		return err
	}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	m.link.subscribe(m)
	return m.awaitAck(ctx)
}

// wait waits until the member has changed or ctx ends. due, if not nil, ends the wait too.
func (m *member) wait(ctx context.Context, due <-chan time.Time, done <-chan struct{}) error {
	select {
	case <-m.changed:
	case <-due:
	case <-done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (m *member) notify() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *member) awaitLink(ctx context.Context) error {
	for {
		m.link.mux.mu.Lock()
		ready, err := m.link.ready, m.err
		m.link.mux.mu.Unlock()
		if ready || err != nil {
			return err
		}
		if err := m.wait(ctx, nil, nil); err != nil {
			return err
		}
	}
}

// awaitDeparture waits until the server has acknowledged the end of an earlier channel of the name,
// so that nothing that it has sent for that one is taken for this one. If the server does not, what
// arrives before the acknowledgement of this one is dropped.
func (m *member) awaitDeparture(ctx context.Context) error {
	for {
		m.link.mux.mu.Lock()
		d, err := m.link.left[m.request.Name], m.err
		limit, rest := m.link.mux.ackTimeout(), time.Duration(0)
		if d != nil && limit > 0 {
			rest = limit - time.Since(d.since)
			m.dirty = rest <= 0
		}
		dirty := m.dirty
		m.link.mux.mu.Unlock()
		if d == nil || dirty || err != nil {
			return err
		}
		due, stop := timer(rest) // without AckTimeout, nil
		err = m.wait(ctx, due, d.done)
		stop()
		if err != nil {
			return err
		}
	}
}

// timer returns a channel that receives after d, or nil if d is not positive.
func timer(d time.Duration) (due <-chan time.Time, stop func()) {
	if d <= 0 {
		return nil, func() {}
	}
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

func (m *member) prepare(ctx context.Context) error {
	prepare := m.link.mux.Prepare
	if prepare == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.link.ctx, func() { cancel(context.Cause(m.link.ctx)) })()
	if limit := m.link.mux.ackTimeout(); limit > 0 {
		late := &Error{Channel: m.request.Name, Op: "prepare", After: limit}
		defer time.AfterFunc(limit, func() { cancel(late) }).Stop()
	}
	r := m.request
	err := prepare(ctx, &r)
	m.request.Value = r.Value
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &Error{Channel: r.Name, Op: "prepare", Err: err}
	}
	return nil
}

// awaitAck waits until the channel is open. The time runs from when its request was sent.
func (m *member) awaitAck(ctx context.Context) error {
	limit := m.link.mux.ackTimeout()
	for {
		m.link.mux.mu.Lock()
		acked, sent, err := m.acked, m.sent, m.err
		m.link.mux.mu.Unlock()
		if acked { // and may be over: what was received until then is read first
			return nil
		}
		if err != nil {
			return err
		}
		var due <-chan time.Time
		stop := func() {}
		if limit > 0 && !sent.IsZero() {
			left := limit - time.Since(sent)
			if left <= 0 {
				return &Error{Channel: m.request.Name, Op: "ack", After: limit}
			}
			due, stop = timer(left)
		}
		err = m.wait(ctx, due, nil)
		stop()
		if err != nil {
			return err
		}
	}
}

// leave removes the channel, and ends the connection if it was the last one. It waits for the end
// of a connection that is ending.
func (m *member) leave() {
	l := m.link
	if l.remove(m) {
		<-l.done
	}
}
