package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// closeWait bounds Close for a body of a caller's RoundTripper that does not close.
const closeWait = 500 * time.Millisecond

// leaveWait is how long a connection that is to be replaced is read until everything received has
// been delivered.
const leaveWait = 10 * time.Second

// errReplaced is the end of a connection that is replaced before its end. It wraps io.EOF, because no
// failure caused it, and has the method Replaced, because the server may have had more to send.
var errReplaced error = replacedError{}

type replacedError struct{}

func (replacedError) Error() string  { return "transport: connection is replaced" }
func (replacedError) Unwrap() error  { return io.EOF }
func (replacedError) Replaced() bool { return true }

// errWithheld is the Err of a Gap when a redirect has cost the position.
var errWithheld = errors.New("transport: token not sent: redirected to an origin that is not in TrustedOrigins")

// An httpConn is the open body of a response.
type httpConn struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	body     io.Closer
	plain    io.ReadCloser // the decompressed body
	released chan struct{} // closed once both are closed

	feed         *HTTP
	uncompressed bool // no compression was offered
	compressed   bool // because compression was offered

	frames    *decode.Reader
	frame     decode.Frame         // the last one read
	onMessage func(*Message) error // HTTP.OnMessage
	seen      Message              // what it is called with
	parts     []Message            // of the last message that was split
	watch     *watch
	origin    string
	expires   announcement
	placed    atomic.Bool // position is not empty
	gotFrame  bool        // a frame has arrived
	framed    bool        // a truncated body is detectable
	position  string      // the last token, with HTTP.ResumeByGet
	gap       *Gap        // for the next message
	err       error       // of the failed Read
}

// start ends the body with the connection. net/http's own bodies watch the request's context;
// that of another RoundTripper may react only to Close.
func (c *httpConn) start(e *expiry) {
	context.AfterFunc(c.ctx, func() {
		c.body.Close()
		c.plain.Close()
		close(c.released)
	})
	if !c.feed.isReplaceable() {
		return
	}
	if age := c.feed.MaxConnectionAge; age > 0 {
		c.after(withinAge(age), c.expire)
	}
	e.start(func(d time.Duration) func() { return c.after(d, c.expire) })
}

// after calls f after d, unless the connection ends or stop is called before.
func (c *httpConn) after(d time.Duration, f func()) (stop func()) {
	ctx, stop := context.WithCancel(c.ctx) // so that the connection does not keep what is over
	timer := time.AfterFunc(d, func() {
		stop()
		f()
	})
	context.AfterFunc(ctx, func() { timer.Stop() })
	return stop
}

// expire is called when the connection must be replaced.
func (c *httpConn) expire() {
	switch {
	case c.feed.ResumeByGet && !c.placed.Load():
		c.after(minAge, c.expire) // the request must not be sent again
	case c.expires.make() && !c.feed.Overlap:
		c.leave(time.Now().Add(leaveWait))
	}
}

// leave ends the connection once the reader waits for more, or at the deadline.
func (c *httpConn) leave(deadline time.Time) {
	if c.watch.isReading() || !time.Now().Before(deadline) {
		c.cancel(errReplaced)
		return
	}
	c.after(time.Second, func() { c.leave(deadline) })
}

func (c *httpConn) Read(m *Message) error {
	if c.err == nil && c.ctx.Err() != nil {
		c.err, c.parts = c.failure(nil), nil
	}
	if len(c.parts) > 0 {
		c.parts = m.nextPart(c.parts)
		return c.deliver(m)
	}
	if c.err != nil {
		return c.err
	}
	f := &c.frame
	err := c.frames.Next(f)
	if err == nil && f.Truncated && !c.framed {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && c.gap != nil && c.gap.Reason != GapNoToken && c.ctx.Err() == nil {
		*m = Message{Kind: decode.KindKeepalive, Gap: c.gap, More: true}
		c.gap, c.err = nil, c.failure(err)
		return nil // the loss is reported although no message follows it
	}
	if err != nil {
		c.err = c.failure(err)
		return c.err
	}
	if !c.gotFrame {
		c.gotFrame = true
		c.feed.recordMessage(c.uncompressed)
	}
	m.Data, m.Type, m.ID, m.Token, m.Kind, m.Delay, m.Gap = f.Data, f.Type, f.ID, f.ID, f.Kind, f.Delay, c.gap
	m.Delivery, m.Settle, m.Parts, m.Attempt, m.More, m.CaughtUp = nil, nil, nil, 0, false, false
	c.gap = nil
	if c.onMessage != nil && m.Kind == decode.KindData {
		if err := c.callOnMessage(m); err != nil {
			return c.refuse(m, err)
		}
	}
	c.watch.learn(m.Kind)
	return c.deliver(m)
}

// deliver completes a message that Read returns.
func (c *httpConn) deliver(m *Message) error {
	if c.feed.ResumeByGet && (m.Kind == decode.KindPosition || m.Kind == decode.KindData && m.Token != "") {
		c.position = m.Token
		c.placed.Store(c.position != "")
	}
	m.More = c.more()
	return nil
}

// more reports whether the next Read returns without waiting. It may find a bad frame, which is
// a gap for the next message.
func (c *httpConn) more() bool { return len(c.parts) > 0 || c.err != nil || c.frames.Buffered() }

// callOnMessage calls HTTP.OnMessage with a copy of m, so that m need not be allocated on the heap.
func (c *httpConn) callOnMessage(m *Message) error {
	c.seen = *m
	err := c.onMessage(&c.seen)
	gap := m.Gap
	*m, c.seen = c.seen, Message{}
	m.Gap = cmp.Or(m.Gap, gap) // OnMessage may have replaced the whole Message
	switch {
	case err == nil && m.Parts != nil:
		c.parts = m.takeApart()
	case len(m.Parts) > 0 && errors.Is(err, ErrComplete):
		c.parts, c.err = m.takeApart(), err
		return nil
	}
	return err
}

// refuse ends the connection with an error of OnMessage. If the message has a Gap, that is
// delivered first.
func (c *httpConn) refuse(m *Message, err error) error {
	if !errors.Is(err, ErrComplete) {
		err = c.failure(err)
	}
	c.err = err
	if m.Gap == nil {
		return err
	}
	*m = Message{Kind: decode.KindKeepalive, Gap: m.Gap, More: true}
	return nil
}

// skipFrame returns a function that reports a bad frame and records the gap.
func (c *httpConn) skipFrame(report func(*decode.FrameError)) func(*decode.FrameError) {
	return func(bad *decode.FrameError) {
		report(bad)
		if c.gap == nil {
			c.gap = &Gap{Reason: GapBadFrame, Err: bad}
		}
		if c.gap.Reason == GapBadFrame {
			c.gap.Missed++
		}
	}
}

// failure returns what Read returns for err. If the connection's context has ended, its cause
// is the reason.
func (c *httpConn) failure(err error) error {
	cause := context.Cause(c.ctx)
	switch {
	case cause == errIdle:
		compressor := !c.gotFrame && c.feed.recordSilence(c.compressed, c.uncompressed)
		err = &TimeoutError{Op: "idle", Origin: c.origin, After: time.Duration(c.watch.window.Load()), compressor: compressor}
	case cause != nil:
		return cause
	case err == io.EOF && c.position != "" && c.feed.End != EndFeed:
		return io.EOF
	case err == io.EOF:
		return c.feed.atEOF(c.origin)
	case notGzip(err):
		err = &ProtocolError{Reason: "body is not gzip despite its Content-Encoding", Origin: c.origin}
	default:
		err = &failed{c.origin, err}
	}
	if c.position != "" {
		return err
	}
	return c.feed.once(err)
}

func (c *httpConn) Close() error {
	c.cancel(errClosed)
	select {
	case <-c.released:
	case <-time.After(closeWait):
	}
	return nil
}
