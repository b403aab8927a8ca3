package mock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// origin stands for the address of a feed without one.
const origin = "mock://feed"

// Open connects without a wire. It implements transport.Transport.
func (f *Feed) Open(ctx context.Context, token string) (*transport.Session, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s, away := f.open(token, nil)
	if away != nil {
		return nil, away.failure(token)
	}
	c := &wireless{session: s}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return &transport.Session{Conn: c, Resumes: true}, nil
}

// Validate returns nil. It implements transport.Transport.
func (f *Feed) Validate() error { return nil }

// A wireless is the Conn of a consumer without a wire.
type wireless struct {
	session *session
	ctx     context.Context
	cancel  context.CancelCauseFunc
	err     error // of the Read that failed
}

func (c *wireless) Read(m *transport.Message) error {
	if c.err != nil {
		return c.err
	}
	step, more, err := c.session.next(c.ctx)
	if err == nil {
		err = step.transmit(c.ctx, nil, func([]byte) error { return nil })
	}
	switch {
	case err != nil:
		c.err = err
	case step.part:
		c.err = Drop().breakage()
		c.session.over(c.err)
	case step.act == sends:
		f := step.frame
		*m = transport.Message{
			Data: bytes.Clone(f.Data), Type: f.Type, ID: f.ID, Token: f.ID, Kind: f.Kind, Delay: f.Delay, Gap: step.said(), More: more,
		}
		return nil
	case step.act == stalls:
		<-c.ctx.Done()
		c.err = context.Cause(c.ctx)
	default:
		c.err = step.breakage()
		c.session.over(c.err)
	}
	return c.err
}

// said returns a copy of the step's Gap, nil if it has none.
func (s Step) said() *transport.Gap {
	if s.extra.Gap == nil {
		return nil
	}
	gap := *s.extra.Gap
	return &gap
}

func (c *wireless) Close() error {
	c.cancel(errClosed)
	c.session.over(nil)
	return nil
}

var errClosed = fmt.Errorf("mock: %w", net.ErrClosed)

// breakage returns the error with which the step makes Read fail.
func (s Step) breakage() error {
	switch s.act {
	case drops:
		return fmt.Errorf("mock: connection dropped: %w", io.ErrUnexpectedEOF)
	case ends:
		return io.EOF
	case closes:
		return &transport.CloseError{Code: s.code, Reason: s.reason, Origin: origin}
	case completes:
		return transport.ErrEnd
	case garbles:
		return &decode.FrameError{Format: "mock", Err: fmt.Errorf("%d malformed bytes", len(s.raw))}
	}
	return errors.New("mock: not a step of an open connection")
}
