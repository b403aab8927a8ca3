package transporttest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// memory is a Transport that plays a script without a network and keeps the contract.
type memory struct {
	script Script

	mu     sync.Mutex
	joined bool
	over   bool
}

type memoryConn struct {
	feed   *memory
	ctx    context.Context
	cancel context.CancelCauseFunc
	events []Event
	ending Ending
	err    error
}

var errMemory = errors.New("memory: closed")

func (m *memory) Validate() error {
	if m.script.Misconfigured {
		return errMisconfigured
	}
	return nil
}

var errMisconfigured = errors.New("memory: misconfigured")

func (m *memory) Open(ctx context.Context, token string) (*transport.Session, error) {
	c, err := m.open(ctx, token)
	if err != nil {
		return nil, err
	}
	return &transport.Session{Conn: c, Resumes: true}, nil
}

func (m *memory) open(ctx context.Context, token string) (transport.Conn, error) {
	switch {
	case m.script.Misconfigured:
		return nil, errMisconfigured
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case m.script.Dial == DialRefused:
		return nil, errors.New("memory: refused")
	case m.script.Dial == DialSilent:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return nil, transport.ErrComplete
	}
	c := &memoryConn{feed: m, events: m.script.Events}
	if !m.joined {
		c.ending = m.script.Ending
	}
	m.joined = true
	for i, e := range m.script.Events {
		if e.Token == token {
			c.events = m.script.Events[i+1:]
		}
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c, nil
}

func (c *memoryConn) Read(m *transport.Message) (err error) {
	*m, err = c.next()
	return err
}

func (c *memoryConn) next() (transport.Message, error) {
	if c.err == nil && c.ctx.Err() != nil {
		c.err = context.Cause(c.ctx)
	}
	if c.err != nil {
		return transport.Message{}, c.err
	}
	if len(c.events) == 0 {
		c.err = c.end()
		return transport.Message{}, c.err
	}
	e := c.events[0]
	c.events = c.events[1:]
	time.Sleep(e.Pause)
	more := len(c.events) > 0 && c.events[0].Pause == 0
	return transport.Message{ID: e.Token, Token: e.Token, Data: []byte(e.Data), More: more}, nil
}

func (c *memoryConn) end() error {
	switch c.ending {
	case EndingClean:
		return io.EOF
	case EndingCut, EndingPartial:
		return io.ErrUnexpectedEOF
	case EndingComplete:
		c.feed.mu.Lock()
		defer c.feed.mu.Unlock()
		c.feed.over = true
		return transport.ErrComplete
	}
	<-c.ctx.Done()
	return context.Cause(c.ctx)
}

func (c *memoryConn) Close() error {
	c.cancel(errMemory)
	return nil
}
