package transport

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// A Socket is an open connection, as passed to OnConnect and OnMessage. All its methods except
// Receive and Unread may be called from any goroutine, also after OnConnect and OnMessage have
// returned. On a connection that has ended they have no effect or return its error.
type Socket struct {
	// Subprotocol is the one that the server selected; empty if none.
	Subprotocol string

	// Value is for the caller's session state: with Overlap two connections are open at once.
	// OnConnect and OnMessage of one connection do not run concurrently; other goroutines must
	// synchronize.
	Value any

	conn       *socketConn
	connecting atomic.Bool // OnConnect is running
}

// Send sends a text message, like WebSocket.Send. After OnConnect has returned, it may use the
// reserve of SendRate, so that OnMessage does not wait. On a lost connection it drops the
// message and returns nil while received messages are unread: OnMessage handles these first, then
// Read returns the reason of the loss.
func (s *Socket) Send(ctx context.Context, text []byte) error {
	return s.send(ctx, websocket.MessageText, text)
}

// SendBinary is Send for a binary message.
func (s *Socket) SendBinary(ctx context.Context, data []byte) error {
	return s.send(ctx, websocket.MessageBinary, data)
}

func (s *Socket) send(ctx context.Context, kind websocket.MessageType, data []byte) error {
	connecting := s.connecting.Load()
	err := s.conn.send(ctx, kind, data, !connecting)
	if errors.Is(err, ErrNotConnected) && !connecting && !s.conn.reader.ended.Load() && !s.conn.closing.Load() {
		return nil
	}
	return err
}

var errNotConnecting = errors.New("transport: Socket.Receive called outside OnConnect")

// Receive waits for the next message, which OnMessage then does not see. It may be called only
// from OnConnect, and ends with OnConnect's ctx. After an error the connection is unusable.
func (s *Socket) Receive() (Message, error) {
	if !s.connecting.Load() {
		return Message{}, errNotConnecting
	}
	r := &s.conn.reader
	var m Message
	r.current = &m
	if err := r.receive(); err != nil {
		r.err = err
		return Message{}, err
	}
	return m, nil
}

const (
	unreadCost = 256  // of a message put back, in addition to its data
	unreadFree = 1024 // messages, whatever MaxMessage is
)

// Unread puts m back for the reader of the connection, after messages put back before and
// before those received later. It is for events that arrive before the reply that OnConnect waits
// for. m passes through OnMessage and Format like any other message. Unread may be called only
// from OnConnect. More than MaxMessage bytes in all ends the connection.
func (s *Socket) Unread(m Message) {
	c := s.conn
	if !s.connecting.Load() {
		return
	}
	r := &c.reader
	if r.held += len(m.Data) + unreadCost; c.feed.MaxMessage >= 0 && r.held > c.feed.maxMessage()+unreadCost*unreadFree {
		c.end.abort(c.tooLarge())
		return
	}
	r.unread = append(r.unread, m)
}

// Context returns a context that ends, with its cause, when the connection is lost or closed. Use
// it for goroutines that live as long as the connection, with context.AfterFunc to release
// resources after it, and with ReplaceBefore. OnMessage may still be called with messages received
// before that.
func (s *Socket) Context() context.Context { return s.conn.end.ctx }

// Replace ends the connection so that a new one is opened, for a server that announces its end.
// With WebSocket.Overlap the new one is opened first.
func (s *Socket) Replace() { s.conn.life.expire() }

// SetIdleTimeout replaces WebSocket.IdleTimeout for this connection, for a server that
// announces its interval. Negative or zero: no limit.
func (s *Socket) SetIdleTimeout(d time.Duration) {
	s.conn.life.idle.Store(int64(max(d, 0)))
	s.conn.life.armIdle()
}

// A Heartbeat is a message that a Socket sends at a fixed interval.
type Heartbeat struct {
	// Interval is the time between two heartbeats. The first one is sent after a random part of
	// it, so that the clients of a server do not send at once. Zero or negative: no heartbeat.
	Interval time.Duration

	// Message returns the text to send, or nil to send nothing this time. It must not close the
	// connection. Nil: no heartbeat.
	Message func() []byte

	// RequireAck ends the connection with a *TimeoutError unless Socket.HeartbeatAcked is called
	// between two heartbeats. Default: heartbeats are not acknowledged.
	RequireAck bool
}

// Heartbeat sends h until the connection ends. It replaces the heartbeat of an earlier call.
func (s *Socket) Heartbeat(h Heartbeat) { s.conn.life.startHeartbeat(&heartbeat{Heartbeat: h}) }

// HeartbeatAcked records that the server has acknowledged the last heartbeat.
func (s *Socket) HeartbeatAcked() {
	s.conn.life.heartbeatAcked()
}

// send writes a message. The end of ctx does not interrupt the write, which would end the
// connection.
func (c *socketConn) send(ctx context.Context, kind websocket.MessageType, data []byte, urgent bool) error {
	if kind == websocket.MessageText && !utf8.Valid(data) {
		return &MessageError{Err: errNotUTF8}
	}
	if err := c.limiter.wait(ctx, c.end.ctx, urgent); err != nil && c.end.ctx.Err() != nil {
		return c.sendError(err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.write(kind, data)
}

// write writes a message, a large one in several frames so that pongs can be sent between them.
// It takes as long as the peer keeps accepting data. It has no context: the end of one would
// close the library's connection and lose what is received but unread.
func (c *socketConn) write(kind websocket.MessageType, data []byte) error {
	ctx := context.Background()
	if len(data) <= largestFrame {
		return c.sendError(c.ws.Write(ctx, kind, data))
	}
	w, err := c.ws.Writer(ctx, kind)
	for err == nil && len(data) > 0 {
		n := min(len(data), largestFrame)
		_, err = w.Write(data[:n])
		data = data[n:]
	}
	if err == nil {
		err = w.Close()
	}
	return c.sendError(err)
}

// largestFrame is the maximum payload of a sent frame in bytes.
const largestFrame = 64 << 10

func (c *socketConn) sendError(err error) error {
	if err == nil && c.wire.unwritable.Load() == nil && c.end.ctx.Err() == nil {
		return nil
	}
	if cause := c.end.cause(); cause != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, cause)
	}
	return ErrNotConnected
}
