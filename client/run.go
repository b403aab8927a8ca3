package client

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// run is the standing goroutine of a subscription: it connects, reads, and moves what it reads to
// the window, until there is nothing more to read.
type run struct {
	*Subscription

	token        string        // of the last event received: the position to resume after
	hasConnected bool          // in this process or an earlier one: to start afresh may lose events
	broken       bool          // the last connection did not end cleanly
	gap          *Gap          // for the next event
	delay        time.Duration // the last reconnection time that the server asked for
	now          time.Time     // when the last read that had to wait returned
	received     uint64        // events read
	backoff      *retry.Backoff
	isReady      bool // there was a connection: connected is closed
	outage       outage
	stall        stall

	ids        *recent           // ids of Options.Dedupe
	seen       *recent           // ids on this connection, for a handover; nil if not needed
	before     *recent           // ids on the connection that this one has replaced
	low        map[string]uint64 // sequences when the replacement was started
	overlapEnd time.Time         // end of the time in which a handover may cause duplicates

	sequences map[string]uint64 // last number of each key
	doubts    doubts
}

// errRedial ends a connection because Reconnect was called.
var errRedial = errors.New("client: Reconnect was called")

// restore resumes from the position that the Store held.
func (r *run) restore(stored record) {
	if stored.Epoch == 0 {
		return
	}
	if stored.Token != "" || stored.Events > 0 {
		r.token = stored.Token
	}
	// It is not known whether the earlier process was connected; it may have lost events.
	r.hasConnected = true
}

// loop connects until the subscription ends, and reports why it did.
func (r *run) loop() {
	var last *connection
	for c := r.newConnection(r.ctx, 1); c != nil; {
		last = c
		c.err = c.play()
		if next := r.follow(c); next != nil {
			r.backoff.Progress(c.failure())
			r.disconnected(c, retry.Decision{})
			c = next
		} else if attempt := r.judge(c); attempt > 0 {
			c = r.newConnection(r.ctx, attempt)
		} else {
			c = nil
		}
	}
	r.drop.Store(nil) // Reconnect does not end what lingers
	r.stats.set(StateEnded)
	r.log.ended(loopError(r.end), r.ctx.Err() != nil && r.sealed() == nil)
	r.checkpoint.unwatch()
	if r.ctx.Err() != nil && !errors.Is(r.end, ErrClosed) {
		r.checkpoint.retire()
		r.flush()
	}
	close(r.over)
	if r.opts.Trace.Ended != nil {
		r.opts.Trace.Ended(loopError(r.end))
	}
	last.linger()
}

// judge decides what follows after a connection that has ended. It waits until the next attempt is
// due and returns its number, or sets r.end and returns 0.
func (r *run) judge(c *connection) (attempt int) {
	switch {
	case r.ctx.Err() != nil:
		r.end = context.Cause(r.ctx)
		r.disconnected(c, retry.Decision{Stop: true})
		return 0
	case errors.Is(c.err, transport.ErrEnd):
		if !c.opened && r.broken && r.token == "" && !r.pushed {
			r.lose(Gap{Reason: transport.NoToken, Err: c.err}) // events since then are lost
		}
		if c.err != transport.ErrEnd { // it gives a reason
			r.log.Info("the feed is complete", "reason", c.err)
		}
		r.end = r.complete()
		r.disconnected(c, retry.Decision{Stop: true})
		return 0
	case c.err == errRedial:
		r.backoff.Progress(c.failure())
		r.disconnected(c, retry.Decision{})
		return 1
	case c.err == errParked:
		r.backoff.Progress(c.failure())
		r.disconnected(c, retry.Decision{})
		r.park()
		return 1
	}
	if c.opened {
		r.broken = !errors.Is(c.err, io.EOF)
	}
	d := r.backoff.Next(c.failure())
	if d.Class == retry.ClassTokenRejected && r.token != "" {
		r.lose(Gap{Reason: transport.TokenRejected, From: r.token, Err: c.err})
		r.token = r.otherPosition(c.err)
	}
	r.disconnected(c, d)
	if d.Stop {
		r.end = &StopError{Attempts: d.Attempt, Elapsed: d.Elapsed, Cause: c.err}
		return 0
	}
	r.pause(d.Delay)
	return d.Attempt + 1
}

// otherPosition returns the token that err names instead of the one that it rejects, or "" if it
// names none or the rejected one.
func (r *run) otherPosition(err error) string {
	var names transport.PositionError
	if !errors.As(err, &names) {
		return ""
	}
	if token := names.ResumeAfter(); token != r.token {
		return token
	}
	return ""
}

// failure describes the connection, which has ended, to the retry policy.
func (c *connection) failure() retry.Failure {
	return retry.Failure{
		Err: c.err, Events: c.events, Moved: c.token != c.origin, Uptime: c.uptime, ServerDelay: c.delay,
	}
}

// park waits until half of the buffer is free, so that the next connection is not parked as soon as
// it is open.
func (r *run) park() {
	r.stats.set(StateFull)
	w := r.window
	w.press()
	defer w.release()
	stall := r.watchStall()
	defer stall.stop(true)
	for !w.isHalfFree() {
		select {
		case <-w.space:
			stall.settled()
		case <-stall.timer.C:
			r.reportStall()
		case <-r.redial:
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// complete returns the end of a complete feed. A loss that no event follows is an error.
func (r *run) complete() error {
	if r.gap != nil {
		return &StopError{Cause: r.gap}
	}
	return io.EOF
}

// pause waits for d. Reconnect and the end of the subscription end the wait.
func (r *run) pause(d time.Duration) {
	r.stats.set(StateBackingOff)
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.redial:
	case <-r.ctx.Done():
	}
}

// lose records a loss. Of several before the same event, the first one is kept, because it reaches
// back furthest.
func (r *run) lose(g Gap) {
	r.stats.gaps.Add(1)
	r.log.gap(g)
	if r.opts.Trace.Gap != nil {
		r.opts.Trace.Gap(g)
	}
	if r.gap == nil {
		r.gap = &g
	} else {
		r.gap.Missed += g.Missed
	}
}
