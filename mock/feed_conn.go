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
	s, refusal := f.open(token, nil)
	if refusal != nil {
		return nil, refusal.openError(token)
	}
	c := &feedConn{session: s}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return &transport.Session{Conn: c, Resumes: true}, nil
}

// Validate returns nil. It implements transport.Transport.
func (f *Feed) Validate() error { return nil }

// A feedConn is the Conn of a consumer without a wire.
type feedConn struct {
	session *session
	ctx     context.Context
	cancel  context.CancelCauseFunc
	err     error // of the Read that failed
}

func (c *feedConn) Read(m *transport.Message) error {
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
		c.err = Drop().readError()
		c.session.finish(c.err)
	case step.act == sends:
		f := step.frame
		*m = transport.Message{
			Data: bytes.Clone(f.Data), Type: f.Type, ID: f.ID, Token: step.token(), Kind: f.Kind, Delay: f.Delay, Gap: step.gapCopy(), More: more,
		}
		return nil
	case step.act == stalls:
		<-c.ctx.Done()
		c.err = context.Cause(c.ctx)
	default:
		c.err = step.readError()
		c.session.finish(c.err)
	}
	return c.err
}

// gapCopy returns a copy of the step's Gap, nil if it has none.
func (s Step) gapCopy() *transport.Gap {
	if s.extra.Gap == nil {
		return nil
	}
	gap := *s.extra.Gap
	return &gap
}

func (c *feedConn) Close() error {
	c.cancel(errClosed)
	c.session.finish(nil)
	return nil
}

var errClosed = fmt.Errorf("mock: %w", net.ErrClosed)

// readError returns the error with which the step makes Read fail.
func (s Step) readError() error {
	switch s.act {
	case drops:
		return fmt.Errorf("mock: connection dropped: %w", io.ErrUnexpectedEOF)
	case ends:
		return io.EOF
	case closes:
		return &transport.CloseError{Code: s.code, Reason: s.reason, Origin: origin}
	case completes:
		return transport.ErrComplete
	case garbles:
		return &decode.FrameError{Format: "mock", Err: fmt.Errorf("%d malformed bytes", len(s.raw))}
	}
	return errors.New("mock: not a step of an open connection")
}
