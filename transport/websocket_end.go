package transport

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
)

// A socketEnd is how this side ends a connection: why, and with which close code.
type socketEnd struct {
	ctx context.Context // ends when the connection is cut
	cut context.CancelCauseFunc

	mu    sync.Mutex
	first error // the first cause
	code  int   // close code to send
}

// fail records why the connection is ended, unless a cause is known.
func (e *socketEnd) fail(cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == nil {
		e.first = cause
	}
}

// cause returns why the connection was ended by this side, or nil.
func (e *socketEnd) cause() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.first
}

// abort cuts the connection because of cause. It does not wait.
func (e *socketEnd) abort(cause error) {
	e.fail(cause)
	e.cut(cause)
}

// unacceptable ends the connection because of what the server has sent. Close sends the code.
func (e *socketEnd) unacceptable(code websocket.StatusCode, err error) error {
	e.fail(err)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.code > 0 {
		e.code = int(code)
	}
	return err
}

func (e *socketEnd) closeCode() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.code
}

var errOverLimit = errors.New("too large")

// failure returns what Read returns for an error of frames or of the library. The close frame of the server
// counts before what has failed on this side because of it, and after what has failed earlier.
func (c *socketConn) failure(err error, inside bool) error {
	closed, broken := c.wire.closedWith.Load(), c.wire.broken.Load()
	cause := c.end.cause()
	_, silent := cause.(*TimeoutError) // a peer that has closed may no longer accept data
	switch {
	case err == errOverLimit || errors.Is(err, websocket.ErrMessageTooBig):
		return c.tooLarge()
	case closed != nil && (cause == nil || silent):
		return c.closedBy(*closed)
	case cause != nil:
		return cause
	case c.wire.dropped.Load(), errors.Is(err, context.DeadlineExceeded):
		return &TimeoutError{Op: "write", Origin: c.origin, After: writeTimeout} // for a message, a ping or a pong
	case broken != nil && inside:
		return &CloseError{Code: closeAbnormal, Origin: c.origin, err: io.ErrUnexpectedEOF}
	case broken != nil && *broken == io.EOF:
		return &CloseError{Code: closeAbnormal, Origin: c.origin} // not a clean end
	case broken != nil:
		return &CloseError{Code: closeAbnormal, Origin: c.origin, err: *broken}
	}
	return c.end.unacceptable(websocket.StatusProtocolError, c.violation(err))
}

func (c *socketConn) tooLarge() error {
	return c.end.unacceptable(websocket.StatusMessageTooBig, &MessageError{Limit: c.feed.maxMessage(), Err: decode.ErrTooLarge})
}

func (c *socketConn) violation(err error) error {
	return &ProtocolError{Reason: "WebSocket protocol violation: " + err.Error(), Origin: c.origin}
}

// accepted is the time after which a silent server is taken to have accepted the credentials.
const accepted = time.Minute

// closedBy returns the error for a close frame of the server.
func (c *socketConn) closedBy(payload []byte) error {
	e := newCloseError(c.origin, payload)
	return c.feed.refreshed(c.feed.judge(e), c.fresh && !c.reader.received && time.Since(c.wire.start) < accepted)
}

// Close sends a close frame with CloseCode and waits up to half a second for the server's.
func (c *socketConn) Close() error {
	if c.closing.Swap(true) {
		c.done.Wait() // not a mutex, so that the clock of a synctest bubble can advance
		return nil
	}
	defer c.done.Done()
	c.end.fail(errClosed)
	c.unlink()
	c.feed.live.CompareAndSwap(c, nil)
	c.life.timers.close()
	c.wire.frames.retire()
	c.shake()
	c.end.cut(errClosed)
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		c.life.timers.running.Wait()
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
	code := c.end.closeCode()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if code > 0 && c.end.ctx.Err() == nil && c.wire.broken.Load() == nil {
			c.sendClose(code)
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
	c.end.cut(errClosed)
	timer.Reset(closeWait / 2)
	select { // not done: a caller's network that does not close
	case <-done:
	case <-timer.C:
	}
}

// sendClose sends a close frame and waits up to five seconds for the server's.
func (c *socketConn) sendClose(code int) {
	if c.wire.frames.close() {
		c.ws.Close(websocket.StatusCode(code), "")
	}
}
