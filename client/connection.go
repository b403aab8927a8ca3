package client

import (
	"context"
	"errors"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// connection is one attempt to connect and, if it succeeds, what follows until its end.
type connection struct {
	loop    *loop
	attempt int
	id      uint64 // of the attempt, once begun
	life    lifetime

	session  *transport.Session // nil for a Receiver
	listener transport.Listener // nil for a Transport
	handover *handover          // to the successor, if session announces its end
	follows  bool               // opened while its predecessor was still read
	release  func()             // releases the handover that opened it
	full     fullWatch          // of a Receiver

	begun    bool          // open was called
	resuming bool          // a token was presented
	took     time.Duration // to connect
	opened   bool
	lingers  bool          // it ended with ErrComplete, and is closed by linger
	uptime   time.Duration // from open to end
	progress progress
	err      error // why it ended
}

// A lifetime is the part of a connection that goroutines other than the loop's use.
type lifetime struct {
	ctx     context.Context // ends with the subscription's, or by Reconnect or a handover
	cancel  context.CancelCauseFunc
	begun   time.Time    // when Open returned; set before other goroutines read it
	blocked atomic.Int64 // when the consumer last blocked the reader, UNIX ns; MaxInt64: it does now
}

// newConnection returns a connection that must still be opened.
func (l *loop) newConnection(ctx context.Context, attempt int) *connection {
	c := &connection{loop: l, attempt: attempt}
	c.life.ctx, c.life.cancel = context.WithCancelCause(ctx)
	return c
}

// run opens the connection, receives until it ends, and returns the reason.
func (c *connection) run() error {
	defer func() {
		if !c.lingers {
			c.life.cancel(nil)
		}
	}()
	if c.release != nil {
		defer c.release()
	}
	select {
	case <-c.loop.redial: // it connects anyway
	default:
	}
	c.loop.drop.Store(&c.life.cancel)
	if h := c.loop.in.currentHole(); h != nil && h.isBeforeConnecting() && c.loop.in.asks {
		if err := c.fillHole(); err != nil {
			return c.reason(err)
		}
	}
	c.loop.in.begin(c.follows)
	defer c.full.stop()
	if l := c.loop; l.receiver != nil {
		defer c.endDrained()()
	}
	defer func() { c.progress = c.loop.in.finish() }()
	opened := time.Now()
	if !c.follows {
		c.loop.report.enter(Transition{State: StateConnecting})
		if err := c.open(c.loop.in.position()); err != nil {
			return c.reason(err)
		}
		opened = time.Now()
	}
	c.live()
	c.awaitExpiry()
	err := c.receive()
	c.uptime = time.Since(opened)
	if c.lingers {
		return err // the feed is complete, and its connection stays open
	}
	return c.reason(err)
}

// open connects.
func (c *connection) open(token string) (err error) {
	l := c.loop
	c.begun, c.resuming = true, token != "" && !l.pushed
	l.report.connecting(c)
	start := time.Now()
	if l.receiver != nil {
		c.listener, err = l.receiver.Listen(c.life.ctx, c.deliver)
	} else {
		c.session, err = l.transport.Open(c.life.ctx, token)
	}
	if err != nil {
		return err
	}
	c.life.begun = time.Now()
	c.took = c.life.begun.Sub(start)
	c.resuming = c.resuming && c.session.Resumes
	if c.session != nil && c.session.OnConfirm != nil {
		c.session.OnConfirm(func() error { return c.awaitSpace(c.life.ctx, l.in.isSettled, nil) })
	}
	return nil
}

// live reports that the connection is open.
func (c *connection) live() {
	l := c.loop
	c.opened = true
	l.connectedTo(c)
	l.in.placed(l.hasConnected, c.resuming || c.follows, l.pushed)
	l.hasConnected = true
	if !l.isReady {
		l.isReady = true
		close(l.connected)
	}
}

// isAttempt reports whether c got as far as an attempt to connect.
func (c *connection) isAttempt() bool { return c.begun }

// reason returns the cause of the context if that has ended, and err otherwise.
func (c *connection) reason(err error) error {
	if c.life.ctx.Err() != nil {
		return context.Cause(c.life.ctx)
	}
	return err
}

// failure describes the connection, which has ended, to the retry policy.
func (c *connection) failure() retry.Failure {
	return retry.Failure{Err: c.err, Events: c.progress.events, Moved: c.progress.moved,
		Uptime: c.uptime, ServerDelay: c.progress.delay}
}

// conn returns what must be closed at the end.
func (c *connection) conn() io.Closer {
	if c.listener != nil {
		return c.listener
	}
	return c.session
}

// receive moves messages to the window until the connection ends.
func (c *connection) receive() (err error) {
	conn, closed := c.conn(), make(chan struct{})
	unblock := context.AfterFunc(c.life.ctx, func() {
		conn.Close()
		close(closed)
	})
	defer func() {
		switch {
		case !unblock():
			<-closed
		case errors.Is(err, transport.ErrComplete) && c.listener != nil:
			c.lingers = true
		default:
			conn.Close()
		}
	}()
	if c.listener != nil {
		end := c.startBackfill()
		err := c.listener.Wait()
		end(errors.Is(err, transport.ErrComplete))
		return err
	}
	defer c.loop.in.publish()
	return c.read()
}

// read moves messages to the window until a read fails.
func (c *connection) read() error {
	var m transport.Message
	if c.loop.in.asks {
		if err := c.makeWay(isHeld, 0); err != nil {
			return err
		}
	}
	for waited := true; ; {
		if err := c.session.Read(&m); err != nil {
			return err
		}
		for v := c.loop.in.admit(&m, waited); v != admitted; v = c.loop.in.admit(&m, false) {
			err := c.makeWay(v, len(m.Data))
			if err == errParked && v == isHeld {
				c.loop.in.admit(&m, false) // otherwise the next connection may meet the gap again
			}
			if err != nil {
				return err
			}
		}
		waited = !m.More
	}
}

// makeWay waits until a message that was not admitted may be.
func (c *connection) makeWay(v verdict, size int) error {
	start := time.Now()
	defer func() { c.loop.in.unread(time.Since(start)) }()
	switch v {
	case isHeld:
		return c.fillHole()
	case overflows:
		return ErrOverflow
	}
	return c.waitForSpace(c.life.ctx, size)
}

// deliver is the transport.Deliver of a Receiver.
func (c *connection) deliver(ms []transport.Message) (accepted int, err error) {
	accepted, err = c.loop.in.deliver(c.life.ctx, ms)
	if err == transport.ErrFull {
		size := 0
		if len(ms) > 0 {
			size = len(ms[accepted].Data)
		}
		c.waitWhileFull(size)
	}
	return accepted, err
}

// waitWhileFull starts a wait for space on behalf of a Receiver.
func (c *connection) waitWhileFull(size int) {
	if !c.loop.in.valve.isOpen() {
		return
	}
	c.full.start(c.life.ctx, func(ctx context.Context) { c.waitForSpace(ctx, size) })
}

// waitForSpace waits until an event of size bytes may be taken in, or until the connection must be
// parked.
func (c *connection) waitForSpace(ctx context.Context, size int) error {
	expired, stop := c.pauseLimit()
	defer stop()
	return c.awaitSpace(ctx, func() bool { return c.loop.in.fits(size) }, expired)
}

// awaitSpace waits until fits returns true. It returns errParked when expired receives.
func (c *connection) awaitSpace(ctx context.Context, fits func() bool, expired <-chan time.Time) error {
	l := c.loop
	l.in.publish()
	space, release := l.window.Press() // a batch that waits for more events must not wait any longer
	defer release()
	c.life.blocked.Store(math.MaxInt64)
	defer func() { c.life.blocked.Store(time.Now().UnixNano()) }()
	stall, parked := l.watchStall(), false
	defer func() { stall.stop(!parked) }()
	for {
		resumed := l.in.valve.changed()
		if fits() {
			return nil
		}
		select {
		case <-space:
			stall.settled()
		case <-resumed:
			stall.settled()
		case <-stall.timer.C:
			l.reportStall()
		case <-expired:
			parked = true
			return errParked
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pauseLimit returns a channel that receives when the connection was not read for its maxPause, or
// nil.
func (c *connection) pauseLimit() (due <-chan time.Time, stop func()) {
	limit := c.maxPause()
	if limit == 0 {
		return nil, func() {}
	}
	timer := time.NewTimer(limit)
	return timer.C, func() { timer.Stop() }
}

// maxPause returns how long the peer tolerates a connection that is not read, or 0 for no limit.
// Without a position, closing it would lose events.
func (c *connection) maxPause() time.Duration {
	if c.session == nil || !c.session.Resumes || c.loop.in.position() == "" {
		return 0
	}
	return max(c.session.MaxPause, 0)
}

// linger closes a connection that lingers, once the consumer has settled every event or the
// connection's context has ended.
func (c *connection) linger() {
	if c == nil || !c.lingers {
		return
	}
	defer c.life.cancel(nil)
	defer c.conn().Close()
	c.waitSettled(c.life.ctx)
}

// waitSettled waits until the consumer has settled every event. It returns the cause if ctx ends
// before.
func (c *connection) waitSettled(ctx context.Context) error {
	space, release := c.loop.window.Press()
	defer release()
	for !c.loop.in.isSettled() {
		select {
		case <-space:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
