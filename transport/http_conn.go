package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// closeWait bounds Close for a body of the caller's own making that does not close.
const closeWait = 500 * time.Millisecond

// errWithheld is what a Gap names when a redirect has cost the position.
var errWithheld = errors.New("transport: redirected to an origin that is not trusted: the token was not sent")

// An httpConn is the open body of a response.
type httpConn struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	body     io.Closer
	plain    io.ReadCloser // what decompresses it
	released chan struct{} // closed once both are

	feed       *HTTP
	plainly    bool // no compression was offered
	compressed bool // because it was offered

	frames *decode.Reader
	frame  decode.Frame         // the last one
	check  func(*Message) error // HTTP.Control
	seen   Message              // what check sees
	parts  []Message            // of the last one that it has taken apart
	watch  *watch
	origin string
	spoken bool  // a frame has come
	framed bool  // an end of the body that is none of the sender's would be told
	gap    *Gap  // for the next message
	err    error // of the Read that failed
}

// start ties the body to the life of the connection. net/http's own bodies watch the
// request's context; one of another RoundTripper may only heed its Close.
func (c *httpConn) start() {
	context.AfterFunc(c.ctx, func() {
		c.body.Close()
		c.plain.Close()
		close(c.released)
	})
}

func (c *httpConn) Read() (m Message, err error) {
	err = c.ReadTo(&m)
	return m, err
}

// ReadTo is Read without a copy of the message. See ReaderTo.
func (c *httpConn) ReadTo(m *Message) error {
	if c.err == nil && c.ctx.Err() != nil {
		c.err = c.failure(nil)
	}
	if c.err != nil {
		return c.err
	}
	if len(c.parts) > 0 {
		c.parts = m.nextPart(c.parts)
		m.More = c.more()
		return nil
	}
	f := &c.frame
	err := c.frames.NextTo(f)
	if err == nil && f.Truncated && !c.framed {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && c.gap != nil && c.gap.Reason != NoToken && c.ctx.Err() == nil {
		*m = Message{Kind: decode.Keepalive, Gap: c.gap, More: true}
		c.gap, c.err = nil, c.failure(err)
		return nil // the loss is reported although no message follows it
	}
	if err != nil {
		c.err = c.failure(err)
		return c.err
	}
	if !c.spoken {
		c.spoken = true
		c.feed.spoke(c.plainly)
	}
	m.Data, m.Type, m.ID, m.Kind, m.Delay, m.Gap = f.Data, f.Type, f.ID, f.Kind, f.Delay, c.gap
	m.Header, m.Settle, m.Parts, m.Attempt = nil, nil, nil, 0
	c.gap = nil
	if c.check != nil && m.Kind == decode.Data {
		if err := c.control(m); err != nil {
			return c.refuse(m, err)
		}
	}
	c.watch.heard(m.Kind)
	m.More = c.more()
	return nil
}

// more reports whether the next Read returns without waiting. It may come upon a bad frame: a
// gap for the next message.
func (c *httpConn) more() bool { return len(c.parts) > 0 || c.frames.Buffered() }

// control lets the user's function see m, or rather another Message: m itself would have to be
// on the heap for it.
func (c *httpConn) control(m *Message) error {
	c.seen = *m
	err := c.check(&c.seen)
	gap := m.Gap
	*m, c.seen = c.seen, Message{}
	m.Gap = cmp.Or(m.Gap, gap) // Control may have written a Message of its own
	if err == nil && m.Parts != nil {
		c.parts = m.takeApart()
	}
	return err
}

// refuse ends the connection with an error of Control's. A loss that the message would have
// said is said first.
func (c *httpConn) refuse(m *Message, err error) error {
	if !errors.Is(err, ErrEnd) {
		err = c.failure(err)
	}
	c.err = err
	if m.Gap == nil {
		return err
	}
	*m = Message{Kind: decode.Keepalive, Gap: m.Gap, More: true}
	return nil
}

// passOver returns a function that reports a bad frame to the user and takes note of the
// gap.
func (c *httpConn) passOver(report func(*decode.FrameError)) func(*decode.FrameError) {
	return func(bad *decode.FrameError) {
		report(bad)
		if c.gap == nil {
			c.gap = &Gap{Reason: BadFrame, Err: bad}
		}
		if c.gap.Reason == BadFrame {
			c.gap.Missed++
		}
	}
}

// failure is what Read says about err. If the connection's context has ended, that is
// the reason, whatever err is.
func (c *httpConn) failure(err error) error {
	cause := context.Cause(c.ctx)
	switch {
	case cause == errIdle:
		compressor := !c.spoken && c.feed.silent(c.compressed, c.plainly)
		err = &TimeoutError{Op: "idle", After: time.Duration(c.watch.window.Load()), compressor: compressor}
	case cause != nil:
		return cause
	case err == io.EOF:
		return c.feed.atEOF(c.origin)
	case notGzip(err):
		err = &ProtocolError{Reason: "the body is not gzip, contrary to its Content-Encoding", Origin: c.origin}
	default:
		err = &failed{c.origin, err}
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
