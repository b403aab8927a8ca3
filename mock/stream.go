package mock

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Stream returns a Transport with one connection: the bytes of r, framed by f. It lets a
// [Recorder] record what is not a subscription, such as a net.Conn, a response body or a file.
// The end of r is io.EOF, and a second attempt returns transport.ErrEnd. Close, and the end of
// the context of Open, close r if it is an io.Closer; otherwise they do not wake a Read that
// waits for r.
func Stream(r io.Reader, f decode.Format) transport.Transport { return &stream{r: r, format: f} }

type stream struct {
	r      io.Reader
	format decode.Format
	opened atomic.Bool
}

func (s *stream) Open(ctx context.Context, _ string) (*transport.Session, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.opened.Swap(true) {
		return nil, transport.ErrEnd
	}
	c := &streamConn{frames: decode.NewReader(s.r, s.format, 0), ctx: ctx}
	c.close = func() error {
		if closer, ok := s.r.(io.Closer); ok {
			closer.Close()
		}
		return nil
	}
	c.unlink = context.AfterFunc(ctx, func() { c.close() })
	return &transport.Session{Conn: c}, nil
}

func (s *stream) Validate() error { return nil }

type streamConn struct {
	frames *decode.Reader
	ctx    context.Context
	unlink func() bool
	close  func() error
	closed atomic.Bool
}

func (c *streamConn) Read(m *transport.Message) error {
	f, err := c.frames.Next()
	switch {
	case err == nil:
		*m = transport.Message{Data: f.Data, Type: f.Type, ID: f.ID, Token: f.ID, Kind: f.Kind, Delay: f.Delay, More: c.frames.Buffered()}
		return nil
	case c.ctx.Err() != nil:
		return context.Cause(c.ctx)
	case c.closed.Load():
		return errClosed
	}
	return err
}

func (c *streamConn) Close() error {
	c.closed.Store(true)
	c.unlink()
	return c.close()
}
