package client

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A backfill asks Options.Backfill to fill a hole, again and again until it answers. It runs on the
// loop's goroutine: before the connection is opened, if the hole leaves no position to connect with,
// and otherwise while the connection is open and not read, so that what the function fetches is not
// older than the first message after the hole. That of a Receiver, which delivers meanwhile, has a
// goroutine of its own.
type backfill struct {
	c      *connection
	hole   *hole
	ctx    context.Context // of the function
	parked atomic.Bool     // the connection was closed because it was not read for its MaxPause
}

var errResumed = errors.New("client: connection closed: Options.Backfill has returned the position to resume after")

// A backfillError ends a subscription because the backfill does.
type backfillError struct{ end error }

func (e *backfillError) Error() string { return e.end.Error() }
func (e *backfillError) Unwrap() error { return e.end }

// backfillEnd returns the end of the subscription that err is, or nil.
func backfillEnd(err error) error {
	if e, ok := err.(*backfillError); ok {
		return e.end
	}
	return nil
}

// fillHole fills the hole, if there is one. After an error, the connection must end.
func (c *connection) fillHole() error {
	h := c.loop.in.currentHole()
	if h == nil {
		return nil
	}
	l := c.loop
	state := l.report.now.base()
	if state == StateBackingOff {
		state = StateConnecting
	}
	l.report.enter(Transition{State: StateBackfilling, Reason: "gap: " + reasonOf(h.gap.Reason)})
	defer l.report.enter(Transition{State: state})
	b := &backfill{c: c, hole: h, ctx: c.life.ctx}
	c.life.blocked.Store(math.MaxInt64)
	defer func() { c.life.blocked.Store(time.Now().UnixNano()) }()
	stop := b.parkLate()
	token, err := b.run()
	stop()
	switch {
	case err != nil:
		return err
	case token != "" && c.opened && (c.session == nil || c.session.Resumes):
		return errResumed
	case b.parked.Load():
		return errParked
	}
	return nil
}

// parkLate closes the connection when the peer does not tolerate any longer that it is not read.
func (b *backfill) parkLate() (stop func()) {
	limit := b.c.maxPause()
	if limit == 0 {
		return func() {}
	}
	closed := make(chan struct{})
	timer := time.AfterFunc(limit, func() {
		defer close(closed)
		b.parked.Store(true)
		b.c.session.Close()
	})
	return func() {
		if !timer.Stop() {
			<-closed
		}
	}
}

// run asks until the hole is closed, and returns the token that the function has returned.
func (b *backfill) run() (token string, err error) {
	policy := b.c.loop.in.opts.Retry
	failures := policy.Start()
	for n := 1; ; n++ {
		token, d, err := b.attempt(n, failures)
		switch {
		case b.ctx.Err() != nil:
			return "", context.Cause(b.ctx)
		case err == nil:
			return token, nil
		case errors.Is(err, transport.ErrComplete):
			return "", &backfillError{io.EOF}
		case d.Stop:
			return "", &backfillError{&StopError{Attempts: d.Attempt, Elapsed: d.Elapsed, Cause: err}}
		}
		pause(b.ctx, d.Delay, nil)
	}
}

// attempt asks for the n-th time, and closes the hole if the function has answered. It returns what
// follows otherwise.
func (b *backfill) attempt(n int, failures *retry.Backoff) (token string, d retry.Decision, err error) {
	l, h := b.c.loop, b.hole
	info := BackfillInfo{Gap: l.in.asked(h), Attempt: n}
	l.report.backfilling(info)
	start, before := time.Now(), l.in.delivered(h)
	token, err = b.ask(info.Gap)
	info.Took, info.Events, info.Err = time.Since(start), l.in.delivered(h)-before, err
	switch {
	case b.ctx.Err() != nil:
		info.Err = context.Cause(b.ctx)
	case err == nil:
		l.in.repaired(h, token)
	case errors.Is(err, ErrAcceptGap):
		l.in.accepted(h, token, l.hasConnected)
		err = nil
	case !errors.Is(err, transport.ErrComplete):
		d = decide(failures, retry.Failure{Err: err, Moved: l.in.asked(h).From != info.Gap.From})
		info.Delay = d.Delay
	}
	l.report.backfilled(info, d)
	return token, d, err
}

// decide returns what follows a failure of the function: what its error asks for, or else what the
// policy decides.
func decide(failures *retry.Backoff, f retry.Failure) retry.Decision {
	d := failures.Next(f)
	var never *terminal
	var asks *delayed
	switch {
	case errors.As(f.Err, &never):
		d.Class, d.Delay, d.Stop = retry.ClassPermanent, 0, true
	case !d.Stop && errors.As(f.Err, &asks):
		d.Delay = asks.delay
	}
	return d
}

// ask calls Options.Backfill. Its deliver fails after it has returned.
func (b *backfill) ask(g Gap) (token string, err error) {
	ctx, cancel := context.WithCancel(b.ctx)
	turn := make(chan struct{}, 1) // holds a token while deliver runs; a lock would stop the clock of a bubble
	defer func() {
		cancel()
		turn <- struct{}{} // joins a deliver on another goroutine
	}()
	token, err = b.c.loop.in.opts.Backfill(ctx, g, func(m transport.Message) error { return b.deliver(ctx, turn, m) })
	if err == nil && token == "" {
		err = b.c.loop.in.shortage(b.hole)
	}
	return token, err
}

// deliver is the deliver of Options.Backfill. It waits for space.
func (b *backfill) deliver(ctx context.Context, turn chan struct{}, m transport.Message) error {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	m.Settle, m.Delivery, m.Parts = nil, nil, nil
	for ctx.Err() == nil {
		if b.c.loop.in.fill(b.hole, &m) {
			return nil
		}
		if err := b.waitForSpace(ctx, len(m.Data)); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// waitForSpace waits until there may be space for size bytes.
func (b *backfill) waitForSpace(ctx context.Context, size int) error {
	c := b.c
	if c.listener == nil {
		defer c.life.blocked.Store(math.MaxInt64) // still
		return c.awaitSpace(ctx, func() bool { return c.loop.in.hasRoomFor(size) }, nil)
	}
	changed, stop := c.loop.window.Watch()
	defer stop()
	resumed := c.loop.in.valve.changed()
	if c.loop.in.hasRoomFor(size) {
		return nil
	}
	c.waitWhileFull(size)
	select {
	case <-changed:
		return nil
	case <-resumed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startBackfill fills the hole of a Receiver while it delivers. end joins that, after it has
// finished if the Receiver is complete.
func (c *connection) startBackfill() (end func(complete bool)) {
	l := c.loop
	h := l.in.currentHole()
	if h == nil {
		return func(bool) {}
	}
	ctx, cancel := context.WithCancel(c.life.ctx)
	b := &backfill{c: c, hole: h, ctx: ctx}
	undrained := context.AfterFunc(l.taking, cancel)
	var joined sync.WaitGroup
	joined.Go(func() {
		done := false
		defer onExit(&done, func() { c.life.cancel(&backfillError{&StopError{Cause: errLoopExited}}) })
		if _, err := b.run(); err != nil && ctx.Err() == nil {
			c.life.cancel(err)
		}
		done = true
	})
	return func(complete bool) {
		if !complete {
			cancel()
		}
		joined.Wait()
		undrained()
		cancel()
	}
}

// fillLast fills a hole after which the feed is complete. attempt is that of the next connection, or
// 0 if there is none.
func (l *loop) fillLast() (attempt int, err error) {
	if !l.in.asks || l.in.currentHole() == nil {
		return 0, nil
	}
	c := l.newConnection(l.taking, 1)
	defer c.life.cancel(nil)
	l.drop.Store(&c.life.cancel)
	c.opened = true // a token means another connection
	err = c.fillHole()
	switch {
	case err == errResumed || err == errRedial:
		return 1, nil
	case l.taking.Err() != nil:
		return 0, l.end()
	case err != nil:
		return 0, backfillEnd(err)
	}
	return 0, nil
}

// backfilling reports a call of Options.Backfill.
func (r *reporter) backfilling(i BackfillInfo) {
	if i.Attempt == 1 {
		r.log.Info("backfill started", "reason", reasonOf(i.Gap.Reason))
	}
	if f := r.trace.Backfilling; f != nil {
		f(i)
	}
}

// backfilled reports the outcome of a call of Options.Backfill.
func (r *reporter) backfilled(i BackfillInfo, d retry.Decision) {
	switch {
	case i.Err == nil:
		r.answered("backfill finished", i)
	case errors.Is(i.Err, ErrAcceptGap):
		r.answered("backfill accepts the gap", i)
	case d.Stop || i.Delay == 0: // "ended" follows, or the end of the connection
	default:
		r.failure.Store(&i.Err)
		r.logBackfillFailed(i, d)
		r.backfillFailed(i, d)
	}
	if f := r.trace.Backfilled; f != nil {
		f(i)
	}
}

// answered reports a call of Options.Backfill that closes the gap.
func (r *reporter) answered(text string, i BackfillInfo) {
	r.log.Info(text, "events", i.Events, "took", i.Took, "attempt", i.Attempt)
	r.now.end(nil)
	r.note(text, nil)
}

// backfillFailed records a failure after which Options.Backfill is called again.
func (r *reporter) backfillFailed(i BackfillInfo, d retry.Decision) {
	r.now.failBackfill(failure{i.Err, d.Class, time.Now()})
	t := Transition{Time: time.Now(), State: r.now.base(), Reason: "backfill failed", Class: d.Class, Err: i.Err.Error(), Delay: i.Delay}
	if t.State == StateBackfilling { // not for a Receiver, which is live meanwhile
		r.enter(t)
	} else {
		r.watched.add(t)
	}
}

// logBackfillFailed logs a failure: the first one of a gap, and those after 1, 3, 7 minutes and so
// on.
func (r *reporter) logBackfillFailed(i BackfillInfo, d retry.Decision) {
	if i.Attempt == 1 {
		r.unfilled = trouble{}
	}
	now := time.Now()
	due := r.unfilled.again(now)
	r.log.Log(context.Background(), loudness(due, now.Sub(r.unfilled.since)), "backfill failed", "error", i.Err, "class", d.Class.String(),
		"attempt", i.Attempt, "delay", i.Delay)
}
