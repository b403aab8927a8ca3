package client

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// run is the one standing goroutine of a subscription: it connects, reads, and puts
// what it reads into the window, until there is nothing more to read.
type run struct {
	*Subscription

	token        string        // where to resume: after the last event received
	hasConnected bool          // before, so that to start afresh may lose events
	broken       bool          // the last connection did not end in good order
	gap          *Gap          // to travel on the next event
	delay        time.Duration // the last reconnection time that the server asked for
	now          time.Time     // when the last read returned that had to wait
	received     uint64        // events read
	backoff      *retry.Backoff
	isReady      bool // there was a connection: connected is closed
	outage       outage
	stall        stall

	ids        *recent           // of Options.Dedupe
	seen       *recent           // on this connection, for a handover; nil if it needs none
	before     *recent           // on the one that it has replaced
	low        map[string]uint64 // sequences when the replacement was begun
	overlapEnd time.Time         // until when events may come a second time after a handover

	sequences map[string]uint64 // last number of each key
	doubts    doubts
}

// errRedial ends a connection because Reconnect was called.
var errRedial = errors.New("client: Reconnect was called")

// restore takes up the position that the Store held.
func (r *run) restore(stored record) {
	if stored.Epoch == 0 {
		return
	}
	if stored.Token != "" || stored.Events > 0 {
		r.token = stored.Token
	}
	// Whether the other process was connected nobody knows; it may have had events in hand.
	r.hasConnected = true
}

// loop connects until the subscription is over, and says why it is.
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

// judge decides what follows on a connection that has ended. It returns the number of
// the next attempt once that is due, or 0 with r.end set.
func (r *run) judge(c *connection) (attempt int) {
	switch {
	case r.ctx.Err() != nil:
		r.end = context.Cause(r.ctx)
		r.disconnected(c, retry.Decision{Stop: true})
		return 0
	case errors.Is(c.err, transport.ErrEnd):
		if !c.opened && r.broken && r.token == "" && !r.pushed {
			r.lose(Gap{Reason: transport.NoToken, Err: c.err}) // what came between has passed
		}
		if c.err != transport.ErrEnd { // which says no more than that
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
	if d.Class == retry.TokenRejected && r.token != "" {
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

// otherPosition returns the token that an error names in place of the one that it rejects,
// "" if none. One that is rejected too is not presented again.
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

// park waits until half of the buffer is free, so that the next connection is not parked
// as soon as it is open.
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

// complete is the end of a feed that has ended in good order. A loss that no event is
// left to tell of is an error.
func (r *run) complete() error {
	if r.gap != nil {
		return &StopError{Cause: r.gap}
	}
	return io.EOF
}

// pause waits before the next attempt. Reconnect and the end of the subscription end it.
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

// lose notes a loss. Of several before the same event the first one is kept, because
// it reaches back furthest.
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
