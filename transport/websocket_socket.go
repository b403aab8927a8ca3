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

// writeTimeout is how long the peer may take nothing. The library allows a pong five
// seconds, its wait for other writers included.
const writeTimeout = 4 * time.Second

// A Socket is an open connection as Hello and Control see it. All its methods but Receive
// and Unread may be called from any goroutine, and later than from Hello and Control too; on
// a connection that has ended they have no effect, or return its error.
type Socket struct {
	// Subprotocol is what the server has chosen, empty if none were offered.
	Subprotocol string

	// Value is the user's, for the state of a session: with Handover two connections are open
	// at once. Hello and Control of one connection do not run at the same time; other
	// goroutines synchronise themselves.
	Value any

	conn     *socketConn
	greeting atomic.Bool // Hello is at work
}

// Send sends a text message, as WebSocket.Send does. Once Hello has returned, it may use
// what SendLimit keeps for answers and heartbeats, so that Control does not wait, and on a
// connection that is lost it drops the message and returns nil as long as received messages
// are unread: Control handles these first, and Read then returns the reason of the loss.
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

var errNotGreeting = errors.New("transport: Socket: Receive and Unread are for Hello only")

// Receive waits for the next message, which is then not seen by Control. It is for Hello
// only and ends with its ctx. Its error is final for the connection.
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
	unreadCost = 256  // of a message that is handed on, beside its data
	unreadFree = 1024 // messages, whatever MaxMessage is
)

// Unread hands m on to the reader of the connection, behind what was handed on before and
// before what is received later: an event that came before the answer Hello has waited
// for. It goes the way of any other message, through Control and Format. It is for Hello
// only, and for MaxMessage bytes in all: more ends the connection.
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

// Context returns a context that ends when the connection is lost or closed, with its cause:
// for goroutines that live as long as the connection, and, with context.AfterFunc, for what
// must be released after it. Control may still see messages that were received before.
func (s *Socket) Context() context.Context { return s.conn.ctx }

// Expire says that the connection is about to end, because the server has said so. It is
// replaced: with WebSocket.Handover the next one is opened first.
func (s *Socket) Expire() { s.conn.expire() }

// SetIdleTimeout replaces WebSocket.IdleTimeout on this connection, where the server tells
// how often it speaks. Negative or zero: no limit.
func (s *Socket) SetIdleTimeout(d time.Duration) {
	s.conn.idle.Store(int64(max(d, 0)))
	s.conn.armIdle()
}

// Heartbeat sends what message returns, as text and each interval, until the connection
// ends. The first one follows after a part of interval at random, so that not all clients
// of a server beat at once; a nil message is left out. If answered is set, Answered is to
// be called between two of them, or the connection is given up with a *TimeoutError.
// A further call replaces the one before; with an interval that is not above zero, or
// without message, it ends the heartbeat. message must not close the connection.
func (s *Socket) Heartbeat(interval time.Duration, answered bool, message func() []byte) {
	s.conn.startHeartbeat(&heartbeat{interval: interval, answered: answered, message: message})
}

// Answered says that the server has answered the last heartbeat.
func (s *Socket) Answered() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if b := s.conn.beat; b != nil {
		b.open = false
	}
}

type heartbeat struct {
	interval time.Duration
	answered bool // the server answers each
	message  func() []byte
	open     bool  // the last one is not answered
	at       int64 // by the wire's clock: when it was sent
}

func (c *socketConn) startHeartbeat(b *heartbeat) {
	if b.interval <= 0 || b.message == nil {
		b = nil
	}
	c.mu.Lock()
	c.beat = b
	c.mu.Unlock()
	if b != nil {
		c.watchdog(rand.N(b.interval)+1, func() { c.heartbeat(b) })
	}
}

// heartbeat sends one, unless another has taken its place or the last is not answered
// although all that came since was read.
func (c *socketConn) heartbeat(b *heartbeat) {
	c.mu.Lock()
	current, dead := c.beat == b, b.open && c.wire.caughtUpSince(b.at)
	b.open = false
	c.mu.Unlock()
	switch {
	case !current:
		return
	case dead:
		c.abort(&TimeoutError{Op: "heartbeat", After: b.interval})
		return
	}
	if text := b.message(); text != nil && c.limiter.wait(c.ctx, c.ctx, true) == nil {
		c.mu.Lock()
		b.open, b.at = b.answered, c.wire.now() // not before: a wait for SendLimit is not the server's
		c.mu.Unlock()
		c.write(websocket.MessageText, text)
	}
	c.watchdog(b.interval, func() { c.heartbeat(b) })
}

// send writes a message. The end of ctx does not end the write, because that would end
// the connection.
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

// write writes a message, a large one in several frames so that pongs get between them. It
// takes as long as the peer takes something every now and then. It has no context: one that
// ended would close the library's connection, and with it what is received and not yet read.
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

// largestFrame is what is sent in one frame.
const largestFrame = 64 << 10

// watchWrites gives up a peer that has taken nothing for writeTimeout, as long as there
// is something to be taken. It watches messages, pings and pongs alike: the library would end
// the connection at once for a pong that it cannot send.
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

// readOut ends a connection whose writes fail once what the server has sent is read, if the
// network does not do so itself.
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
