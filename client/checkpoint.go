package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
)

// checkpoint decides when the window's low mark is saved. Saves run one at a time, each on a timer's
// goroutine, so an event never waits for one. A nil *checkpoint, of a subscription without a Store,
// does nothing.
type checkpoint struct {
	every  time.Duration
	window *window.Window
	ledger ledger          // used by the run in progress, or under mu while there is none
	tenure *tenure         // nil without a lease
	life   context.Context // of the subscription: ends when nothing more can be settled
	hands  func() bool     // reports whether events may still be handed out
	ctx    context.Context // of every call to the store; ends with the last goroutine
	cancel context.CancelFunc
	dirty  atomic.Bool // something was acknowledged since the last save started

	mu         sync.Mutex // never held across a call to the store
	owns       bool       // the record was taken over
	timer      *time.Timer
	armed      bool               // a run is scheduled
	saving     bool               // a run is in progress
	looking    bool               // the run, scheduled or in progress, only reads the record
	due        time.Time          // when it was scheduled for; zero once a run has started
	unwatched  bool               // no more such reads
	again      bool               // another save must follow at once
	suspect    string             // to be stored; see suspects
	onRequest  bool               // only Commit and a flush start a save
	closed     bool               // no more runs
	cancelSave context.CancelFunc // of the run in progress
	limit      context.Context    // bounds every save while a flush waits
	failures   int                // in a row
	covered    uint64             // acknowledged events that the stored record covers
	err        error              // of the last save, nil if it succeeded
	round      uint64             // runs that have ended
	ended      chan struct{}      // closed and replaced when a run has ended
}

const (
	saveTimeout   = 10 * time.Second
	firstSaveWait = 100 * time.Millisecond
	maxSaveWait   = 30 * time.Second
	// lookEvery is how long an owner makes no call to the store before it checks that it still owns
	// the record.
	lookEvery = 30 * time.Second
)

// touch makes sure that what was just acknowledged is saved within CommitEvery.
func (c *checkpoint) touch() {
	if c == nil || c.dirty.Load() || !c.dirty.CompareAndSwap(false, true) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.onRequest {
		c.arm(c.every)
	}
}

// arm schedules a save unless one is scheduled or in progress. The caller holds mu.
func (c *checkpoint) arm(d time.Duration) {
	if c.closed || c.saving || c.armed && !c.looking {
		return
	}
	if c.armed && !c.disarm() {
		c.looking = false // a save starts in its place
		return
	}
	if c.tenure != nil && !c.due.IsZero() {
		d = max(min(d, time.Until(c.due)), time.Nanosecond) // the save renews the lease, too
	}
	c.armed, c.looking = true, false
	c.timer = time.AfterFunc(d, c.run)
}

// watch schedules a read of the record or, in a contest, a save that changes it. The caller holds
// mu, and no run is scheduled or in progress.
func (c *checkpoint) watch() {
	switch {
	case c.closed || c.ledger.fatal != nil:
		return
	case c.unwatched && !c.mustRenew():
		c.yield()
		return
	}
	d := lookEvery
	switch {
	case c.tenure != nil:
		d = c.tenure.lease / renewPart
	case c.ledger.beats():
		d = beat
	}
	c.armed, c.looking, c.due = true, true, time.Now().Add(d)
	c.timer = time.AfterFunc(d, c.run)
}

// mustRenew reports whether the subscription needs its lease although it receives nothing more: events
// in the buffer may still be handed out.
func (c *checkpoint) mustRenew() bool { return c.tenure != nil && c.hands() }

// unwatch ends the reads of the record: the subscription has ended, and nothing must continue to
// run if Close is never called. A lease is renewed until the buffer is empty.
func (c *checkpoint) unwatch() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwatched = true
	if c.mustRenew() {
		return
	}
	c.tenure.rest()
	if c.armed && c.looking {
		c.disarm()
	}
	if c.owns && !c.armed && !c.saving {
		c.yield()
	}
}

// yield ends the lease, because nothing more is handed out, unless an event in hand may still be
// acknowledged. The caller holds mu, and no run is scheduled or in progress.
func (c *checkpoint) yield() {
	c.tenure.rest()
	if c.tenure != nil && c.window.Backlog().Events == 0 && !c.ledger.release.Swap(true) {
		c.start()
	}
}

// start starts a save now. The caller holds mu, and no run is scheduled or in progress. It avoids a
// timer with zero duration: Go 1.26 crashes on it in a synctest bubble under -race.
func (c *checkpoint) start() {
	c.armed, c.looking, c.timer = true, false, nil
	go c.run()
}

// disarm cancels a scheduled run. It returns false if the run is about to start. The caller holds
// mu.
func (c *checkpoint) disarm() bool {
	if c.timer == nil || !c.timer.Stop() {
		return false
	}
	c.armed = false
	return true
}

// retire leaves saving to Commit and flush: nothing must continue to run if Close is never called.
func (c *checkpoint) retire() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.onRequest = true
	c.mu.Unlock()
}

// saveNow starts a save at once, or after the one in progress. It returns the number of the round
// that covers what is acknowledged now.
func (c *checkpoint) saveNow() (round uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed || !c.owns:
		return 0, false
	case c.saving:
		if c.looking {
			c.cancelSave()
		}
		c.again = true
		return c.round + 2, true
	case !c.armed || c.disarm():
		c.start()
	}
	c.looking = false // the run may be about to start
	return c.round + 1, true
}

// mark returns once the record names the event that is going to be handed out alone, or the save has
// failed.
func (c *checkpoint) mark(ctx context.Context, suspect string) {
	c.mu.Lock()
	c.suspect = suspect
	c.mu.Unlock()
	if round, ok := c.saveNow(); ok {
		c.await(ctx, round)
	}
}

// unmark makes the record name no event any longer.
func (c *checkpoint) unmark() {
	if c == nil {
		return
	}
	c.mu.Lock()
	marked := c.suspect != ""
	c.suspect = ""
	c.mu.Unlock()
	if marked {
		c.saveNow()
	}
}

// panicked records that a consumer's loop was left by a panic or by runtime.Goexit. If Close follows
// without progress, the process has not survived the event: its end counts as a crash.
func (c *checkpoint) panicked() {
	if c != nil {
		c.ledger.crash.Store(true)
	}
}

// run saves the position or only reads the record, once.
func (c *checkpoint) run() {
	ctx, cancel := context.WithTimeout(c.ctx, c.tenure.callTimeout())
	defer cancel()
	c.mu.Lock()
	c.armed, c.saving, c.cancelSave, c.due = false, true, cancel, time.Time{}
	limit, watching := c.limit, c.looking
	c.ledger.suspect = c.suspect
	c.looking = watching && !c.ledger.beats()
	looking := c.looking
	c.mu.Unlock()
	if limit != nil {
		defer context.AfterFunc(limit, cancel)()
	}
	done := false
	defer onExit(&done, func() {
		c.finishRun(func() { c.err, c.failures = &CheckpointError{c.ledger.key, "save", errExited}, c.failures+1 })
	})
	if looking {
		c.ledger.look(ctx)
		c.finishRun(nil)
		done = true
		return
	}
	c.dirty.Store(false)
	events, token := c.window.Low()
	beat := watching || c.tenure != nil || c.ledger.final.Load() // each save renews a lease
	err := c.ledger.save(ctx, events, token, beat)
	c.finishRun(func() {
		if c.err = err; err != nil {
			c.failures++
		} else {
			c.covered, c.failures = events, 0
		}
	})
	done = true
}

// finishRun ends a run with its outcome and schedules the next one.
func (c *checkpoint) finishRun(outcome func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saving, c.looking, c.cancelSave = false, false, nil
	if outcome != nil {
		outcome()
	}
	c.round++
	close(c.ended)
	c.ended = make(chan struct{})
	again := c.again
	c.again = false
	switch {
	case again && !c.closed:
		c.start()
	case c.ledger.fatal != nil:
	case c.onRequest:
		c.watch()
	case c.err != nil:
		c.arm(min(firstSaveWait<<min(c.failures-1, 20), c.maxWait()))
	case c.dirty.Load():
		c.arm(c.every)
	default:
		c.watch()
	}
}

// maxWait returns the maximum delay after a failed save.
func (c *checkpoint) maxWait() time.Duration {
	if c.tenure != nil {
		return c.tenure.lease / retryPart
	}
	return maxSaveWait
}

// commit returns once everything acknowledged so far is stored.
func (c *checkpoint) commit(ctx context.Context) error {
	_, target := c.window.Settled()
	if err := c.reach(ctx, target); err != nil {
		return err
	}
	round, ok := c.saveNow()
	if !ok {
		return ErrClosed
	}
	return c.await(ctx, round)
}

// reach waits until the first target events are settled.
func (c *checkpoint) reach(ctx context.Context, target uint64) error {
	for {
		changed, stop := c.window.Watch()
		if low, _ := c.window.Low(); low >= target {
			stop()
			return nil
		}
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = fmt.Errorf("client: Commit: an event before an acknowledged one is not settled: %w", context.Cause(ctx))
		case <-c.life.Done():
			err = context.Cause(c.life)
		case <-c.ctx.Done():
			err = ErrClosed
		}
		if stop(); err != nil {
			return err
		}
	}
}

// await waits for the end of a round and returns the error of the last save.
func (c *checkpoint) await(ctx context.Context, round uint64) error {
	for {
		c.mu.Lock()
		done, closed, err, ended := c.round >= round, c.closed && !c.saving, c.err, c.ended
		c.mu.Unlock()
		switch {
		case done:
			return err
		case closed:
			return ErrClosed
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// flushWait is the maximum duration of the last save. If the context ends and Close is called,
// there are two such saves, which together must fit into Close's second.
const flushWait = 450 * time.Millisecond

// flush saves what is acknowledged and returns the error of that save. After flushWait, calls to the
// store are canceled and flush waits for them to return. last also ends the lease: the connection is
// closed, and nothing can be acknowledged any more.
func (c *checkpoint) flush(last bool) error {
	if c == nil || !c.isOwner() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	c.mu.Lock()
	c.limit = ctx
	c.ledger.final.Store(true)
	if last {
		c.ledger.release.Store(true)
	}
	if c.cancelSave != nil {
		defer context.AfterFunc(ctx, c.cancelSave)()
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.limit = nil
		c.mu.Unlock()
	}()
	round, ok := c.saveNow()
	if !ok {
		return ErrClosed
	}
	return c.await(context.Background(), round)
}

// close ends all saving and joins its goroutines.
func (c *checkpoint) close() {
	if c == nil {
		return
	}
	c.tenure.close()
	c.mu.Lock()
	c.closed = true
	running := c.saving || c.armed && !c.disarm()
	round := c.round + 1
	close(c.ended) // wakes callers that wait for a save that will not start
	c.ended = make(chan struct{})
	c.mu.Unlock()
	c.cancel()
	for running {
		c.mu.Lock()
		ended := c.ended
		running = c.round < round
		c.mu.Unlock()
		if running {
			<-ended
		}
	}
}

// holds reports whether events may be handed out.
func (c *checkpoint) holds() bool { return c == nil || c.tenure.holds() }

// leaseUntil returns when the subscription ends unless its lease is renewed, or the zero time.
func (c *checkpoint) leaseUntil() time.Time {
	if c != nil && c.tenure != nil {
		if until := c.tenure.until.Load(); until != nil {
			return *until
		}
	}
	return time.Time{}
}

// isOwner reports whether the record was taken over. Before that, nothing is received.
func (c *checkpoint) isOwner() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owns
}

// own starts saving. The record before it was taken over is stored.
func (c *checkpoint) own(stored record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger.base = stored.Events
	c.suspect = c.ledger.suspect
	c.owns = true
	c.watch()
}

// state returns the checkpoint's part of Stats.
func (c *checkpoint) state() (covered uint64, failures int, err error) {
	if c == nil {
		return 0, 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.covered, c.failures, c.err
}
