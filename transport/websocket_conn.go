package transport

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// A socketConn is an open WebSocket: a reader, the timers that watch the peer, and how it ends.
type socketConn struct {
	feed    *WebSocket
	ws      *websocket.Conn
	wire    *wire
	origin  string
	socket  Socket
	limiter *limiter
	fresh   bool // opened with fresh credentials

	reader socketReader // used by the reading goroutine
	life   socketLife
	end    socketEnd

	unlink  func() bool    // from the context given to Open
	linked  sync.WaitGroup // until unlink is set
	closing atomic.Bool
	done    sync.WaitGroup // the Close that is running
}

func newSocketConn(parent context.Context, h *handshake, ws *websocket.Conn) *socketConn {
	a := h.attempt
	c := &socketConn{
		feed: h.socket, ws: ws, wire: h.wire, limiter: h.limiter, origin: a.shown(a.url), fresh: a.refreshed,
		reader: socketReader{gap: h.gap},
		end:    socketEnd{ctx: withExpiry(a.ctx, a.expiry), cut: a.cancel, code: h.socket.closeCode()},
	}
	c.reader.conn, c.life.conn = c, c
	c.socket.conn, c.socket.Subprotocol = c, ws.Subprotocol()
	if c.feed.NewDecompressor != nil {
		c.reader.decompress = c.feed.NewDecompressor()
	}
	c.done.Add(1)
	c.life.start()
	a.expiry.start(func(d time.Duration) func() {
		timer := c.life.timers.after(d, c.life.expire)
		return func() { c.life.timers.stop(timer) }
	})
	c.linked.Add(1) // parent may have ended
	c.unlink = context.AfterFunc(parent, func() {
		c.linked.Wait()
		c.end.fail(context.Cause(parent))
		c.Close()
	})
	c.linked.Done()
	return c
}

// connect calls OnConnect and limits it to OnConnectTimeout.
func (c *socketConn) connect(token string) error {
	if c.feed.OnConnect == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(c.end.ctx)
	defer cancel(nil)
	if c.fresh {
		ctx = withRefresh(ctx)
	}
	timeout := &TimeoutError{Op: "connect", Origin: c.origin, After: orDefault(c.feed.OnConnectTimeout, defaultConnect)}
	c.socket.connecting.Store(true)
	if timeout.After > 0 {
		c.life.timers.after(timeout.After, func() {
			if c.socket.connecting.Load() {
				c.end.abort(timeout)
				cancel(timeout)
			}
		})
	}
	err := c.feed.OnConnect(ctx, &c.socket, token)
	c.socket.connecting.Store(false)
	if c.end.cause() == timeout {
		err = timeout
	}
	switch {
	case c.reader.err != nil:
		return c.reader.err
	case err == nil, errors.Is(err, ErrComplete):
		return err
	}
	if cause := c.end.cause(); cause != nil {
		return cause
	}
	return &failed{"OnConnect", err}
}

func (c *socketConn) Read(m *Message) error { return c.reader.read(m) }
