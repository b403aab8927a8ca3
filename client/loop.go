package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// loop is the standing goroutine of a subscription. It connects, waits until the connection ends,
// and decides what follows, until there is nothing more to receive.
type loop struct {
	ctx        context.Context // of the subscription; its cause is the reason for its end
	taking     context.Context // ends with ctx, and when the subscription is drained
	stopTaking context.CancelCauseFunc
	transport  transport.Transport
	receiver   transport.Receiver // instead of transport
	pushed     bool               // the feed has no positions: the sender repeats missed events
	in         *intake
	window     *window.Window
	checkpoint *checkpoint
	report     *reporter
	sealed     *seal

	turn      func() error                            // takes the checkpoint over once its owner's lease is over; nil if it is ours
	connected chan struct{}                           // closed once a connection has been open
	ended     chan struct{}                           // closed when the loop has ended
	result    error                                   // why it has ended; set before ended is closed
	redial    chan struct{}                           // one token: Reconnect was called
	drop      atomic.Pointer[context.CancelCauseFunc] // ends the current connection

	// Used by the loop's goroutine only.
	hasConnected bool // in this process or an earlier one: to start afresh may lose events
	broken       bool // the last connection, also of an earlier process, may not have ended cleanly
	isReady      bool // there was a connection: connected is closed
	backoff      *retry.Backoff
	outage       outage
	stall        stall
}

var (
	errRedial     = errors.New("client: Reconnect was called")
	errLoopExited = errors.New("client: a function of the options or of the transport called runtime.Goexit")

	errParked = errors.New("client: connection closed until it can be read again: it was not read for its MaxPause")
)

// run connects until the subscription ends, and reports why it did.
func (l *loop) run() {
	done := false
	defer onExit(&done, func() {
		if !isClosed(l.ended) {
			l.result = &StopError{Cause: errLoopExited}
			l.stopTaking(l.result)
			l.finish()
		}
	})
	l.report.watched.label(l.report.watched.labelled(context.Background()))
	last := l.connect()
	l.finish()
	last.linger()
	done = true
}

// connect makes one connection after another, sets l.result, and returns the last connection, or nil
// if there was none.
func (l *loop) connect() (last *connection) {
	if !l.awaitTurn() {
		return nil
	}
	l.in.start()
	for c := l.newConnection(l.connecting(), 1); c != nil; {
		last = c
		c.err = c.run()
		if next := l.successor(c); next != nil {
			l.backoff.Progress(c.failure())
			l.disconnected(c, retry.Decision{})
			l.report.stats.handovers.Add(1)
			c = next
		} else if attempt := l.judge(c); attempt > 0 {
			c = l.newConnection(l.connecting(), attempt)
		} else {
			c = nil
		}
	}
	return last
}

// finish ends the window with l.result.
func (l *loop) finish() {
	l.drop.Store(nil) // Reconnect does not end what lingers
	l.reportEnd()
	l.checkpoint.unwatch()
	if l.ctx.Err() != nil && !errors.Is(l.result, ErrClosed) {
		l.checkpoint.retire()
		l.checkpoint.flush(l.sealed.reason() != nil)
	}
	l.window.End()
	l.report.watched.end()
	close(l.ended)
	if l.report.trace.Ended != nil {
		l.report.trace.Ended(loopError(l.result))
	}
}

// onExit is deferred. It calls f if the goroutine is ended by runtime.Goexit, which a function of the
// program has called, before done is set. A panic continues, and f is not called.
func onExit(done *bool, f func()) {
	if v := recover(); v != nil {
		panic(v) // while the stack is complete
	}
	if !*done {
		f()
	}
}

// awaitTurn waits until the subscription owns its checkpoint. It sets l.result and returns false if it
// ends before.
func (l *loop) awaitTurn() bool {
	if l.turn == nil {
		return true
	}
	err := l.turn()
	switch {
	case l.taking.Err() != nil:
		l.result = l.end()
	case err != nil:
		l.result = err
	default:
		l.report.enter(Transition{State: StateConnecting, Reason: "checkpoint taken over"})
		return true
	}
	return false
}

// connecting returns the context of connections. That of a Receiver stays open while the
// subscription is drained, because senders wait for the outcome of what they have delivered.
func (l *loop) connecting() context.Context {
	if l.receiver != nil {
		return l.ctx
	}
	return l.taking
}

// isStopped reports whether the program has asked for the end.
func (l *loop) isStopped() bool {
	var refused *RefusedError
	return l.ctx.Err() != nil && l.sealed.reason() == nil && !errors.As(l.result, &refused)
}

// judge decides what follows after a connection that has ended. It waits until the next attempt is
// due and returns its number, or sets l.result and returns 0.
func (l *loop) judge(c *connection) (attempt int) {
	switch {
	case l.taking.Err() != nil:
		l.result = l.end()
		l.disconnected(c, retry.Decision{Stop: true})
		return 0
	case errors.Is(c.err, transport.ErrComplete):
		if !c.opened && l.broken && l.in.position() == "" && !l.pushed {
			l.in.lose(Gap{Reason: transport.GapNoToken, Err: c.err}) // events since then are lost
		}
		l.in.settlePlace()
		if c.err != transport.ErrComplete { // it gives a reason
			l.report.log.Info("the feed is complete", "reason", c.err)
		}
		attempt, l.result = l.complete()
		l.disconnected(c, retry.Decision{Stop: attempt == 0})
		return attempt
	case c.err == ErrOverflow:
		l.result = &StopError{Cause: c.err}
		l.disconnected(c, retry.Decision{Stop: true})
		return 0
	case backfillEnd(c.err) != nil:
		if l.result = backfillEnd(c.err); l.result == io.EOF {
			l.result = l.completed()
		}
		l.disconnected(c, retry.Decision{Stop: true})
		return 0
	case c.err == errRedial || c.err == errResumed:
		l.backoff.Progress(c.failure())
		l.disconnected(c, retry.Decision{})
		l.report.enter(Transition{State: StateConnecting, Reason: deliberate[c.err]})
		return 1
	case c.err == errParked:
		l.backoff.Progress(c.failure())
		l.disconnected(c, retry.Decision{})
		l.park()
		return 1
	}
	if c.opened {
		l.broken = !errors.Is(c.err, io.EOF) || isReplaced(c.err)
	}
	d := l.backoff.Next(c.failure())
	if d.Class == retry.ClassTokenRejected {
		l.in.rejected(c.err)
	}
	l.disconnected(c, d)
	if d.Stop {
		l.result = &StopError{Attempts: d.Attempt, Elapsed: d.Elapsed, Cause: c.err}
		return 0
	}
	l.report.enter(Transition{State: StateBackingOff, Reason: c.outcome(), Class: d.Class, Err: c.err.Error(), Delay: d.Delay})
	pause(l.taking, d.Delay, l.redial)
	return d.Attempt + 1
}

// endsWith reports whether a connection that has ended with err needs no successor, although it has not
// failed.
func (l *loop) endsWith(err error) bool {
	return l.taking.Err() != nil || err == ErrOverflow || errors.Is(err, transport.ErrComplete) || backfillEnd(err) != nil
}

// complete returns the end of a complete feed, or the number of the next attempt if a backfill has
// named a position to continue from. A loss that no event follows is an error.
func (l *loop) complete() (attempt int, end error) {
	if attempt, err := l.fillLast(); attempt > 0 || err != nil && err != io.EOF {
		return attempt, err
	}
	return 0, l.completed()
}

// completed returns the end of a complete feed without a hole.
func (l *loop) completed() error {
	if gap := l.in.pendingGap(); gap != nil {
		return &StopError{Cause: gap}
	}
	l.in.complete()
	return io.EOF
}

// park waits until half of the buffer is free and the subscription is not paused, so that the next
// connection is not parked as soon as it is open.
func (l *loop) park() {
	l.report.enter(Transition{State: StateFull, Reason: deliberate[errParked]})
	space, release := l.window.Press()
	defer release()
	stall := l.watchStall()
	defer stall.stop(true)
	for {
		resumed := l.in.valve.changed()
		if l.in.isHalfFree() {
			return
		}
		select {
		case <-space:
			stall.settled()
		case <-resumed:
			stall.settled()
		case <-stall.timer.C:
			l.reportStall()
		case <-l.redial:
			return
		case <-l.taking.Done():
			return
		}
	}
}

// reconnect drops the current connection, or ends the wait for the next one.
func (l *loop) reconnect() {
	l.requestRedial()
	if drop := l.drop.Load(); drop != nil {
		(*drop)(errRedial)
	}
}

// requestRedial ends the wait for the next connection, or the next such wait.
func (l *loop) requestRedial() {
	select {
	case l.redial <- struct{}{}:
	default:
	}
}

// waitConnected returns nil once there has been a connection.
func (l *loop) waitConnected(ctx context.Context) error {
	select {
	case <-l.connected:
		return nil
	default:
	}
	select {
	case <-l.connected:
		return nil
	case <-l.ended:
		select {
		case <-l.connected: // both
			return nil
		default:
			return l.result
		}
	case <-ctx.Done():
		return l.notConnected(context.Cause(ctx))
	}
}

func (l *loop) notConnected(cause error) error {
	n := l.report.stats.attempts.Load()
	last := l.report.failure.Load()
	if last == nil {
		return fmt.Errorf("client: not connected: %w (attempts: %d, no answer yet)", cause, n)
	}
	return fmt.Errorf("client: not connected: %w (attempts: %d, last failure: %w)", cause, n, *last)
}

// pause waits for d. It returns early when ctx ends or wake, which may be nil, is ready.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}
