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

	// Of the goroutine that reads.
	arena    arena
	taken    uint64    // messages read
	handedOn []Message // by Hello, to be read first
	parts    []Message // of the message that Control has taken apart
	current  Message
	split    decode.Splitter
	rest     []byte  // of the message that is being split
	batch    Message // which that is
	ahead    Message // its next frame
	hasAhead bool
	received bool  // an event
	held     int   // bytes that are handed on
	gap      *Gap  // for the next message
	err      error // of the Read that failed
	fresh    bool  // opened with fresh credentials

	// The end.
	unlink  func() bool // from the context given to Open
	cut     context.CancelCauseFunc
	ending  atomic.Bool // expired, with nobody to open a successor
	closing atomic.Bool
	over    atomic.Bool   // all that was received is read
	done    chan struct{} // Close is through

	mu        sync.Mutex
	cause     error // why it was ended from here
	code      int   // with which close code
	closed    bool  // no timer is to start
	timers    map[*time.Timer]struct{}
	running   sync.WaitGroup // timers, and what they have started
	replace   func()         // opens a successor
	expired   bool           // is due to be replaced
	beat      *heartbeat
	idle      atomic.Int64 // IdleTimeout, or what the server says
	idleTimer *time.Timer
}

func newSocketConn(parent context.Context, h *handshake, ws *websocket.Conn) *socketConn {
	c := &socketConn{
		feed: h.socket, ws: ws, wire: h.wire, limiter: h.limiter, ctx: h.ctx, cut: h.cancel, origin: overWebSocket(originOf(h.url)),
		gap: h.gap, fresh: h.refreshed, code: h.socket.closeCode(), timers: make(map[*time.Timer]struct{}),
		done: make(chan struct{}),
	}
	c.socket.conn, c.socket.Subprotocol = c, ws.Subprotocol()
	if c.feed.Unpack != nil {
		c.unpack = c.feed.Unpack()
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

// greet calls Hello, for as long as HelloTimeout allows.
func (c *socketConn) greet(token string) error {
	if c.feed.Hello == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	if c.fresh {
		ctx = withRefresh(ctx)
	}
	timeout := &TimeoutError{Op: "hello", After: orDefault(c.feed.HelloTimeout, defaultHello)}
	c.socket.greeting.Store(true)
	if timeout.After > 0 {
		c.watchdog(timeout.After, func() {
			if c.socket.greeting.Load() {
				c.abort(timeout)
				cancel(timeout)
			}
		})
	}
	err := c.feed.Hello(ctx, &c.socket, token)
	c.socket.greeting.Store(false)
	if c.endedBy() == timeout {
		err = timeout
	}
	switch {
	case c.err != nil:
		return c.err
	case err == nil, errors.Is(err, ErrEnd):
		return err
	}
	if cause := c.endedBy(); cause != nil {
		return cause
	}
	return &failed{"hello", err}
}

func (c *socketConn) Read() (Message, error) {
	for c.err == nil && !c.hasAhead {
		switch err := c.message(); {
		case err != nil:
			c.err = err
			c.over.Store(true)
		case c.current.Kind == decode.Data && c.feed.Format != nil:
			c.begin()
		default:
			c.lose(c.current.Gap)
			c.current.Gap, c.gap = c.gap, nil
			return c.deliver(), nil
		}
	}
	if c.hasAhead {
		c.current = c.ahead
		if c.advance(); !c.hasAhead {
			c.current.ID = cmp.Or(c.current.ID, c.batch.ID)
		}
		c.current.Type = cmp.Or(c.current.Type, c.batch.Type)
		return c.deliver(), nil
	}
	if c.gap != nil { // the loss is said, though nothing came behind it
		c.current = Message{Kind: decode.Keepalive, Gap: c.gap}
		c.gap = nil
		return c.deliver(), nil
	}
	return Message{}, c.err
}

// message brings the next message that Hello has put back or the server has sent to
// c.current, as Control leaves it.
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
	if c.feed.Control == nil || c.current.Kind != decode.Data {
		return nil // a part of a message is none of Control's
	}
	if err := c.feed.Control(&c.socket, &c.current); err != nil {
		c.lose(c.current.Gap)
		return c.refused(err)
	}
	if c.current.Parts != nil {
		c.parts = c.current.takeApart()
	}
	return nil
}

// refused is what follows on an error of Control's.
func (c *socketConn) refused(err error) error {
	if err != io.EOF && !errors.Is(err, ErrEnd) {
		err = &failed{"control", err}
	}
	c.fail(err)
	return err
}

// deliver gives c.current away and looks whether more is there.
func (c *socketConn) deliver() Message {
	c.received = c.received || c.current.Kind == decode.Data
	c.current.More = c.hasAhead || c.err != nil || len(c.parts) > 0 || len(c.handedOn) > 0 || c.buffered()
	return c.current
}

// buffered tells whether a message is there in full.
func (c *socketConn) buffered() bool {
	return c.wire.complete.Load() > c.taken || c.wire.behind.Load()
}

// receive reads the next message to c.current.
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
	if !c.feed.AnyText && !utf8.Valid(data) {
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
		m.Kind = decode.Keepalive
	}
	return nil
}

// payload reads a message into the arena. As far as the wire knows how long the message
// is, and that it is one frame, the library need not be asked where it ends.
func (c *socketConn) payload(r io.Reader) ([]byte, error) {
	number, limit := c.taken+1, c.feed.maxMessage()
	plain := number > c.wire.intricate.Load()
	size := 0 // unknown: the library has it all, which is 4 KiB at most
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
			return nil, io.ErrUnexpectedEOF // the library takes it for the end of the message
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

// begin splits c.current by Format. A message without a frame is a sign of life, so that a Read
// which was promised to return does.
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
		c.ahead, c.hasAhead = Message{Kind: decode.Keepalive, Gap: c.gap}, true
		c.gap = nil
	}
}

// advance brings the next frame of the message that is being split to c.ahead.
func (c *socketConn) advance() {
	c.ahead, c.hasAhead = Message{}, false
	for c.split != nil {
		n, f, ok, err := c.split.Split(c.rest, true)
		c.rest = c.rest[n:]
		var bad *decode.FrameError
		switch {
		case errors.As(err, &bad) && bad.Resync && c.feed.OnBadFrame != nil:
			c.feed.OnBadFrame(bad)
			c.lose(&Gap{Reason: BadFrame, Missed: 1, Err: bad})
		case err != nil:
			c.split = nil
			c.err = c.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: err})
		case ok:
			c.ahead = Message{Data: f.Data, Type: f.Type, ID: f.ID, Kind: f.Kind, Delay: f.Delay, Gap: c.gap}
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
		both := *c.gap // g and c.gap may be the caller's, who may return them again
		both.Missed += g.Missed
		c.gap = &both
	}
}

// fail notes why the connection is ended from here, unless that is known already.
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

// unacceptable ends the connection because of what the server has sent. Close says so.
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

// failure is what Read says about an error of the library.
func (c *socketConn) failure(err error, inside bool) error {
	closing, broken := c.wire.closing.Load(), c.wire.broken.Load()
	cause := c.endedBy()
	_, silent := cause.(*TimeoutError) // a peer that has closed may take nothing any more
	switch {
	case err == errOverLimit || errors.Is(err, websocket.ErrMessageTooBig):
		return c.tooLarge()
	case errors.Is(err, errMasked):
		return c.unacceptable(websocket.StatusProtocolError, c.violation(errMasked))
	case closing != nil && !c.buffered() && (cause == nil || silent): // else it comes after what has failed
		return c.closedBy(*closing)
	case cause != nil:
		return cause
	case c.wire.dropped.Load(), errors.Is(err, context.DeadlineExceeded):
		return &TimeoutError{Op: "write", After: writeTimeout} // of a message, a ping or a pong
	case broken != nil && inside:
		return &CloseError{Code: closeAbnormal, Origin: c.origin, err: io.ErrUnexpectedEOF}
	case broken != nil && *broken == io.EOF:
		return &CloseError{Code: closeAbnormal, Origin: c.origin} // not in good order
	case broken != nil:
		return &CloseError{Code: closeAbnormal, Origin: c.origin, err: *broken}
	}
	return c.unacceptable(websocket.StatusProtocolError, c.violation(err))
}

func (c *socketConn) violation(err error) error {
	return &ProtocolError{Reason: "the WebSocket breaks its rules: " + err.Error(), Origin: c.origin}
}

// accepted is after how long a server that says nothing has accepted credentials.
const accepted = time.Minute

// closedBy is the end that the server has announced with a close frame.
func (c *socketConn) closedBy(payload []byte) error {
	e := newCloseError(c.origin, payload)
	return c.feed.refreshed(c.feed.judge(e), c.fresh && !c.received && time.Since(c.wire.start) < accepted)
}

// Close says good-bye with CloseCode and waits for the answer, for half a second.
func (c *socketConn) Close() error {
	if c.closing.Swap(true) {
		<-c.done // not a mutex: whoever waits here lets the time of a synctest bubble go on
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
	select { // longer only for a function of the user's that waits for this
	case <-joined:
	case <-timer.C:
	}
	return nil
}

// shake closes the library's connection, with a handshake where there is somebody to
// answer.
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
	select { // longer only for a network of the caller's own making that does not close
	case <-done:
	case <-timer.C:
	}
}

// An expiringConn lets its reader open a successor.
type expiringConn struct{ *socketConn }

// OnExpiring is described at Expirer.
func (c *expiringConn) OnExpiring(replace func()) {
	c.mu.Lock()
	c.replace = replace
	due := c.expired
	c.mu.Unlock()
	if due {
		replace()
	}
}

// Resumes is described at Resumer: without Resume and Hello there is nobody to present a token.
func (c *socketConn) Resumes() bool { return c.feed.Resume != nil || c.feed.Hello != nil }

// Patience is described at Patient.
func (c *socketConn) Patience() time.Duration {
	return orDefault(c.feed.Patience, defaultPatience)
}
