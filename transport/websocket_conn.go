package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
)

// A socketConn is an open WebSocket.
type socketConn struct {
	feed   *WebSocket
	ws     *websocket.Conn
	wire   *wire
	ctx    context.Context // ends when the connection is cut
	origin string

	socket  Socket
	limiter *limiter
	unpack  func([]byte) ([]byte, error)

	// Used by the reading goroutine.
	arena    arena
	taken    uint64    // messages read
	handedOn []Message // put back by OnConnect, to be read first
	parts    []Message // of the message that OnMessage has split
	current  Message
	split    decode.Splitter
	frame    decode.Frame // the next one of split
	rest     []byte       // of the message that Format splits
	batch    Message      // that message
	ahead    Message      // its next frame
	hasAhead bool
	received bool  // an event was received
	held     int   // bytes put back by OnConnect
	gap      *Gap  // for the next message
	err      error // of the failed Read
	fresh    bool  // opened with fresh credentials

	// The end.
	unlink  func() bool // from the context given to Open
	cut     context.CancelCauseFunc
	ending  atomic.Bool // expired without Overlap
	closing atomic.Bool
	over    atomic.Bool   // everything received has been read
	done    chan struct{} // closed when Close has finished

	mu        sync.Mutex
	cause     error // why it was ended locally
	code      int   // close code to send
	closed    bool  // no timer may start
	timers    map[*time.Timer]struct{}
	running   sync.WaitGroup // timers and the goroutines that they started
	replace   func()         // opens a successor
	expired   bool           // due for replacement
	beat      *heartbeat
	idle      atomic.Int64 // IdleTimeout, or as set by SetIdleTimeout
	idleTimer *time.Timer
}

func newSocketConn(parent context.Context, h *handshake, ws *websocket.Conn) *socketConn {
	c := &socketConn{
		feed: h.socket, ws: ws, wire: h.wire, limiter: h.limiter, ctx: h.attempt.ctx, cut: h.attempt.cancel, origin: h.attempt.shown(h.attempt.url),
		gap: h.gap, fresh: h.attempt.refreshed, code: h.socket.closeCode(), timers: make(map[*time.Timer]struct{}),
		done: make(chan struct{}),
	}
	c.socket.conn, c.socket.Subprotocol = c, ws.Subprotocol()
	if c.feed.NewDecompressor != nil {
		c.unpack = c.feed.NewDecompressor()
	}
	c.wire.guard = func() { c.watchdog(writeTimeout, c.watchWrites) }
	c.keepAlive()
	linked := make(chan struct{}) // parent may have ended
	c.unlink = context.AfterFunc(parent, func() {
		<-linked
		c.fail(context.Cause(parent))
		c.Close()
	})
	close(linked)
	return c
}

// greet calls OnConnect and limits it to OnConnectTimeout.
func (c *socketConn) greet(token string) error {
	if c.feed.OnConnect == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	if c.fresh {
		ctx = withRefresh(ctx)
	}
	timeout := &TimeoutError{Op: "connect", After: orDefault(c.feed.OnConnectTimeout, defaultConnect)}
	c.socket.greeting.Store(true)
	if timeout.After > 0 {
		c.watchdog(timeout.After, func() {
			if c.socket.greeting.Load() {
				c.abort(timeout)
				cancel(timeout)
			}
		})
	}
	err := c.feed.OnConnect(ctx, &c.socket, token)
	c.socket.greeting.Store(false)
	if c.endedBy() == timeout {
		err = timeout
	}
	switch {
	case c.err != nil:
		return c.err
	case err == nil, errors.Is(err, ErrComplete):
		return err
	}
	if cause := c.endedBy(); cause != nil {
		return cause
	}
	return &failed{"OnConnect", err}
}

func (c *socketConn) Read(m *Message) error {
	for c.err == nil && !c.hasAhead {
		switch err := c.message(); {
		case err != nil:
			c.err = err
			c.over.Store(true)
		case c.current.Kind == decode.KindData && c.feed.Format != nil:
			c.begin()
		default:
			c.lose(c.current.Gap)
			c.current.Gap, c.gap = c.gap, nil
			return c.deliver(m)
		}
	}
	if c.hasAhead {
		c.current = c.ahead
		if c.advance(); !c.hasAhead {
			c.current.ID = cmp.Or(c.current.ID, c.batch.ID)
			c.current.Token = cmp.Or(c.current.Token, c.batch.Token)
		}
		c.current.Type = cmp.Or(c.current.Type, c.batch.Type)
		return c.deliver(m)
	}
	if c.gap != nil { // report the loss although no message follows it
		c.current = Message{Kind: decode.KindKeepalive, Gap: c.gap}
		c.gap = nil
		return c.deliver(m)
	}
	return c.err
}

// message sets c.current to the next message that OnConnect has put back or the server has sent, as
// OnMessage leaves it.
func (c *socketConn) message() error {
	if len(c.parts) > 0 {
		c.parts = c.current.nextPart(c.parts)
		return nil
	}
	if len(c.handedOn) > 0 {
		c.current, c.handedOn = c.handedOn[0], c.handedOn[1:]
	} else if err := c.receive(); err != nil {
		return err
	}
	if c.feed.OnMessage == nil || c.current.Kind != decode.KindData {
		return nil // OnMessage sees whole messages only
	}
	if err := c.feed.OnMessage(&c.socket, &c.current); err != nil {
		c.lose(c.current.Gap)
		return c.refused(err)
	}
	if c.current.Parts != nil {
		c.parts = c.current.takeApart()
	}
	return nil
}

// refused ends the connection because of an error of OnMessage.
func (c *socketConn) refused(err error) error {
	if err != io.EOF && !errors.Is(err, ErrComplete) {
		err = &failed{"OnMessage", err}
	}
	c.fail(err)
	return err
}

// deliver sets m to c.current and records whether more is available.
func (c *socketConn) deliver(m *Message) error {
	c.received = c.received || c.current.Kind == decode.KindData
	c.current.More = c.hasAhead || c.err != nil || len(c.parts) > 0 || len(c.handedOn) > 0 || c.buffered()
	*m = c.current
	return nil
}

// buffered reports whether a complete message is available.
func (c *socketConn) buffered() bool {
	return c.wire.complete.Load() > c.taken || c.wire.more.Load()
}

// receive reads the next message into c.current.
func (c *socketConn) receive() error {
	if c.err != nil {
		return c.err
	}
	if c.ending.Load() && !c.buffered() {
		return c.failure(io.EOF, false)
	}
	kind, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return c.failure(err, false)
	}
	data, err := c.payload(r)
	if err != nil {
		return c.failure(err, true)
	}
	c.taken++
	c.current = Message{Data: data}
	if kind == websocket.MessageBinary {
		return c.binary()
	}
	if !c.feed.AllowInvalidUTF8 && !utf8.Valid(data) {
		return c.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: errNotUTF8})
	}
	return nil
}

func (c *socketConn) binary() (err error) {
	m := &c.current
	m.Type = "binary"
	if c.unpack == nil {
		return nil
	}
	if m.Data, err = c.unpack(m.Data); err != nil {
		return c.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: err})
	}
	if limit := c.feed.maxMessage(); limit >= 0 && len(m.Data) > limit {
		return c.tooLarge()
	}
	if m.Data == nil {
		m.Kind = decode.KindKeepalive
	}
	return nil
}

// payload reads a message into the arena. If the wire knows that the message is one frame, and
// its length, payload need not ask the library where it ends.
func (c *socketConn) payload(r io.Reader) ([]byte, error) {
	number, limit := c.taken+1, c.feed.maxMessage()
	plain := number > c.wire.fragmented.Load()
	size := 0 // unknown: the library has all of it, at most 4 KiB
	if plain && c.wire.complete.Load() < number {
		length := c.wire.length.Load()
		if limit >= 0 && length > uint64(limit) {
			return nil, errOverLimit
		}
		size = int(min(length, firstPiece))
	}
	buf, n := c.arena.room(size), 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		switch {
		case limit >= 0 && n > limit:
			return nil, errOverLimit
		case err == io.EOF && c.wire.complete.Load() < number:
			return nil, io.ErrUnexpectedEOF // which the library takes for the end of the message
		case err == io.EOF:
			return c.arena.take(buf, n), nil
		case err != nil:
			return nil, err
		case plain && n == size && size < firstPiece, plain && size == 0 && n < len(buf):
			return c.arena.take(buf, n), nil
		case n == len(buf):
			buf = c.arena.grow(buf)
		}
	}
}

// begin splits c.current by Format. A message without a frame becomes a keepalive, so that a
// Read that was announced by More returns.
func (c *socketConn) begin() {
	m := &c.current
	limit := c.feed.maxMessage()
	if limit <= 0 {
		limit = len(m.Data) + 1
	}
	c.batch = *m
	c.split, c.rest = c.feed.Format.NewSplitter(limit), m.Data
	c.lose(m.Gap)
	c.advance()
	if !c.hasAhead && c.err == nil {
		c.ahead, c.hasAhead = Message{Kind: decode.KindKeepalive, Gap: c.gap}, true
		c.gap = nil
	}
}

// advance sets c.ahead to the next frame of the message that is being split.
func (c *socketConn) advance() {
	c.ahead, c.hasAhead = Message{}, false
	for c.split != nil {
		c.frame = decode.Frame{}
		n, ok, err := c.split.Split(&c.frame, c.rest, true)
		c.rest = c.rest[n:]
		var bad *decode.FrameError
		switch {
		case errors.As(err, &bad) && bad.Resync && c.feed.OnBadFrame != nil:
			c.feed.OnBadFrame(bad)
			c.lose(&Gap{Reason: GapBadFrame, Missed: 1, Err: bad})
		case err != nil:
			c.split = nil
			c.err = c.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: err})
		case ok:
			f := &c.frame
			c.ahead = Message{Data: f.Data, Type: f.Type, ID: f.ID, Token: f.ID, Kind: f.Kind, Delay: f.Delay, Gap: c.gap}
			c.hasAhead, c.gap = true, nil
			return
		case n == 0:
			c.split, c.rest = nil, nil
		}
	}
}

// lose keeps a gap for the next event.
func (c *socketConn) lose(g *Gap) {
	switch {
	case g == nil:
	case c.gap == nil:
		c.gap = g
	default:
		both := *c.gap // a copy: the caller may own both gaps and return them again
		both.Missed += g.Missed
		c.gap = &both
	}
}

// fail records why the connection is ended locally, unless a cause is known.
func (c *socketConn) fail(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
}

func (c *socketConn) endedBy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// abort cuts the connection because of cause. It does not wait.
func (c *socketConn) abort(cause error) {
	c.fail(cause)
	c.cut(cause)
}

// unacceptable ends the connection because of what the server has sent. Close sends the code.
func (c *socketConn) unacceptable(code websocket.StatusCode, err error) error {
	c.fail(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code > 0 {
		c.code = int(code)
	}
	return err
}

func (c *socketConn) tooLarge() error {
	return c.unacceptable(websocket.StatusMessageTooBig, &MessageError{Limit: c.feed.maxMessage(), Err: decode.ErrTooLarge})
}

var errOverLimit = errors.New("too large")

// failure returns what Read returns for an error of the library.
func (c *socketConn) failure(err error, inside bool) error {
	closing, broken := c.wire.closing.Load(), c.wire.broken.Load()
	cause := c.endedBy()
	_, silent := cause.(*TimeoutError) // a peer that has closed may no longer accept data
	switch {
	case err == errOverLimit || errors.Is(err, websocket.ErrMessageTooBig):
		return c.tooLarge()
	case errors.Is(err, errMasked):
		return c.unacceptable(websocket.StatusProtocolError, c.violation(errMasked))
	case closing != nil && !c.buffered() && (cause == nil || silent): // otherwise it follows what has failed
		return c.closedBy(*closing)
	case cause != nil:
		return cause
	case c.wire.dropped.Load(), errors.Is(err, context.DeadlineExceeded):
		return &TimeoutError{Op: "write", After: writeTimeout} // for a message, a ping or a pong
	case broken != nil && inside:
		return &CloseError{Code: closeAbnormal, Origin: c.origin, err: io.ErrUnexpectedEOF}
	case broken != nil && *broken == io.EOF:
		return &CloseError{Code: closeAbnormal, Origin: c.origin} // not a clean end
	case broken != nil:
		return &CloseError{Code: closeAbnormal, Origin: c.origin, err: *broken}
	}
	return c.unacceptable(websocket.StatusProtocolError, c.violation(err))
}

func (c *socketConn) violation(err error) error {
	return &ProtocolError{Reason: "WebSocket protocol violation: " + err.Error(), Origin: c.origin}
}

// accepted is the time after which a silent server is taken to have accepted the credentials.
const accepted = time.Minute

// closedBy returns the error for a close frame of the server.
func (c *socketConn) closedBy(payload []byte) error {
	e := newCloseError(c.origin, payload)
	return c.feed.refreshed(c.feed.judge(e), c.fresh && !c.received && time.Since(c.wire.start) < accepted)
}

// Close sends a close frame with CloseCode and waits up to half a second for the server's.
func (c *socketConn) Close() error {
	if c.closing.Swap(true) {
		<-c.done // not a mutex, so that the clock of a synctest bubble can advance
		return nil
	}
	defer close(c.done)
	c.fail(errClosed)
	c.unlink()
	c.feed.live.CompareAndSwap(c, nil)
	c.stopTimers()
	c.shake()
	c.cut(errClosed)
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		c.running.Wait()
	}()
	timer := time.NewTimer(closeWait / 4)
	defer timer.Stop()
	select { // not joined: a caller's function that itself waits for Close
	case <-joined:
	case <-timer.C:
	}
	return nil
}

// shake closes the library's connection, with a close handshake if the peer can answer.
func (c *socketConn) shake() {
	c.mu.Lock()
	code := c.code
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if code > 0 && c.ctx.Err() == nil && c.wire.broken.Load() == nil {
			c.ws.Close(websocket.StatusCode(code), "")
		}
		c.ws.CloseNow()
	}()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	c.cut(errClosed)
	timer.Reset(closeWait / 2)
	select { // not done: a caller's network that does not close
	case <-done:
	case <-timer.C:
	}
}

// onExpiring is Session.OnExpiring.
func (c *socketConn) onExpiring(replace func()) {
	c.mu.Lock()
	c.replace = replace
	due := c.expired
	c.mu.Unlock()
	if due {
		replace()
	}
}
