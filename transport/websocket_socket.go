package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// writeTimeout is how long the peer may accept no data. The library allows five seconds for a
// pong, including its wait for other writers.
const writeTimeout = 4 * time.Second

// A Socket is an open connection, as passed to OnConnect and OnMessage. All its methods except
// Receive and Unread may be called from any goroutine, also after OnConnect and OnMessage have
// returned. On a connection that has ended they have no effect or return its error.
type Socket struct {
	// Subprotocol is the one that the server selected; empty if none.
	Subprotocol string

	// Value is for the caller's session state: with Overlap two connections are open at once.
	// OnConnect and OnMessage of one connection do not run concurrently; other goroutines must
	// synchronise.
	Value any

	conn     *socketConn
	greeting atomic.Bool // OnConnect is running
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
	greeting := s.greeting.Load()
	err := s.conn.send(ctx, kind, data, !greeting)
	if errors.Is(err, ErrNotConnected) && !greeting && !s.conn.over.Load() && !s.conn.closing.Load() {
		return nil
	}
	return err
}

var errNotGreeting = errors.New("transport: Socket.Receive called outside OnConnect")

// Receive waits for the next message, which OnMessage then does not see. It may be called only
// from OnConnect, and ends with OnConnect's ctx. After an error the connection is unusable.
func (s *Socket) Receive() (Message, error) {
	if !s.greeting.Load() {
		return Message{}, errNotGreeting
	}
	c := s.conn
	if err := c.receive(); err != nil {
		c.err = err
		return Message{}, err
	}
	return c.current, nil
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
	if !s.greeting.Load() {
		return
	}
	if c.held += len(m.Data) + unreadCost; c.feed.MaxMessage >= 0 && c.held > c.feed.maxMessage()+unreadCost*unreadFree {
		c.abort(c.tooLarge())
		return
	}
	c.handedOn = append(c.handedOn, m)
}

// Context returns a context that ends, with its cause, when the connection is lost or closed.
// Use it for goroutines that live as long as the connection, and with context.AfterFunc to
// release resources after it. OnMessage may still be called with messages received before that.
func (s *Socket) Context() context.Context { return s.conn.ctx }

// Replace replaces the connection, for a server that announces its end. With WebSocket.Overlap
// the next connection is opened first.
func (s *Socket) Replace() { s.conn.expire() }

// SetIdleTimeout replaces WebSocket.IdleTimeout for this connection, for a server that
// announces its interval. Negative or zero: no limit.
func (s *Socket) SetIdleTimeout(d time.Duration) {
	s.conn.idle.Store(int64(max(d, 0)))
	s.conn.armIdle()
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
func (s *Socket) Heartbeat(h Heartbeat) { s.conn.startHeartbeat(&heartbeat{Heartbeat: h}) }

// HeartbeatAcked reports that the server has acknowledged the last heartbeat.
func (s *Socket) HeartbeatAcked() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if b := s.conn.beat; b != nil {
		b.unacked = false
	}
}

// A heartbeat is a Heartbeat that has been started.
type heartbeat struct {
	Heartbeat
	unacked bool  // the last one has not been acknowledged
	at      int64 // when it was sent, by the wire's clock
}

func (c *socketConn) startHeartbeat(b *heartbeat) {
	if b.Interval <= 0 || b.Message == nil {
		b = nil
	}
	c.mu.Lock()
	c.beat = b
	c.mu.Unlock()
	if b != nil {
		c.watchdog(rand.N(b.Interval)+1, func() { c.heartbeat(b) })
	}
}

// heartbeat sends b's message. It stops if another heartbeat has replaced b, and aborts if the
// last one is not acknowledged although everything received since has been read.
func (c *socketConn) heartbeat(b *heartbeat) {
	c.mu.Lock()
	current, dead := c.beat == b, b.unacked && c.wire.caughtUpSince(b.at)
	b.unacked = false
	c.mu.Unlock()
	switch {
	case !current:
		return
	case dead:
		c.abort(&TimeoutError{Op: "heartbeat", After: b.Interval})
		return
	}
	if text := b.Message(); text != nil && c.limiter.wait(c.ctx, c.ctx, true) == nil {
		c.mu.Lock()
		b.unacked, b.at = b.RequireAck, c.wire.now() // not earlier: the wait for SendRate is not the server's
		c.mu.Unlock()
		c.write(websocket.MessageText, text)
	}
	c.watchdog(b.Interval, func() { c.heartbeat(b) })
}

// send writes a message. The end of ctx does not interrupt the write, which would end the
// connection.
func (c *socketConn) send(ctx context.Context, kind websocket.MessageType, data []byte, urgent bool) error {
	if kind == websocket.MessageText && !utf8.Valid(data) {
		return &MessageError{Err: errNotUTF8}
	}
	if err := c.limiter.wait(ctx, c.ctx, urgent); err != nil && c.ctx.Err() != nil {
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

// watchWrites aborts if the peer has accepted no data for writeTimeout while a write is
// pending. It watches messages, pings and pongs alike: the library would end the connection at
// once for a pong that it cannot send.
func (c *socketConn) watchWrites() {
	w := c.wire
	if broken := w.unwritable.Load(); broken != nil {
		c.readOut(w.now(), *broken)
		return
	}
	since := w.writing.Load()
	if since == idleWriter {
		w.guarded.Store(false)
		if since = w.writing.Load(); since == idleWriter || w.guarded.Swap(true) {
			return
		}
	}
	idle := time.Duration(w.now() - since)
	if idle >= writeTimeout {
		c.abort(&TimeoutError{Op: "write", After: writeTimeout})
		return
	}
	c.watchdog(writeTimeout-idle, c.watchWrites)
}

// readOut ends a connection whose writes fail once everything the server has sent is read,
// unless the network ends it first.
func (c *socketConn) readOut(since int64, broken error) {
	if c.wire.caughtUpSince(since) {
		c.abort(&CloseError{Code: closeAbnormal, Origin: c.origin, err: broken})
		return
	}
	c.watchdog(writeTimeout, func() { c.readOut(since, broken) })
}

func (c *socketConn) sendError(err error) error {
	if err == nil && c.wire.unwritable.Load() == nil && c.ctx.Err() == nil {
		return nil
	}
	if cause := c.endedBy(); cause != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, cause)
	}
	return ErrNotConnected
}
