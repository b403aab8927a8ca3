package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
)

// checkpoint keeps the stored record in step with the window's low mark. Saves run one at a time,
// each on a timer's goroutine, so an event never waits for one. A nil *checkpoint, of a
// subscription without a Store, does nothing.
type checkpoint struct {
	store  Store
	key    string
	every  time.Duration
	base   uint64 // events acknowledged before this subscription
	window *window.Window
	report func(SaveInfo) // after each attempt
	// contested is called when a takeover has to wait.
	contested  func(takeovers uint, owner string, atMost time.Duration)
	commitOnly bool              // Save is called for Commit and at the end only
	stop       func(fatal error) // ends the subscription
	ctx        context.Context   // of every call to the store; ends with the last goroutine
	cancel     context.CancelFunc
	dirty      atomic.Bool   // something was acknowledged since the last save started
	dead       chan struct{} // closed when this subscription no longer owns the position
	fatal      error         // the reason; set before dead is closed

	mu         sync.Mutex // never held across a call to the store
	timer      *time.Timer
	armed      bool        // a run is scheduled
	saving     bool        // a run is in progress
	looking    bool        // the run, scheduled or in progress, only reads the record
	unwatched  bool        // no more such reads
	again      bool        // another save must follow at once
	onRequest  bool        // only Commit and a flush start a save
	final      atomic.Bool // the subscription ends
	closed     bool
	cancelSave context.CancelFunc // of the run in progress
	limit      context.Context    // bounds every save while a flush waits
	failures   int                // in a row
	covered    uint64             // acknowledged events that the stored record covers
	err        error              // of the last save, nil if it succeeded
	round      uint64             // runs that have ended
	ended      chan struct{}      // closed and replaced when a run has ended

	// Only the run in progress uses these.
	rec     record // the last one known to be stored
	version string
	durable bool      // a Save returned nil for rec; a record that was only read back may be lost
	writes  uint64    // numbers of writes used; none is used twice, because a save may land late
	unknown bool      // the outcome of the last write is not known
	taken   time.Time // when the record was taken over
	lost    int       // reads in a row that did not return our record
	since   time.Time // when the first of them ended
}

const (
	saveTimeout   = 10 * time.Second
	firstSaveWait = 100 * time.Millisecond
	maxSaveWait   = 30 * time.Second
	// A read may be stale for a while. A record that is still not ours after maxLost reads and
	// lostWait is lost.
	maxLost  = 5
	lostWait = 10 * time.Second
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
	c.armed, c.looking = true, false
	c.timer = time.AfterFunc(d, c.run)
}

// watch schedules a read of the record or, in a contest, a save that changes it. The caller holds
// mu, and no run is scheduled or in progress.
func (c *checkpoint) watch() {
	if c.closed || c.unwatched || c.fatal != nil {
		return
	}
	d := lookEvery
	if c.beats() {
		d = beat
	}
	c.armed, c.looking = true, true
	c.timer = time.AfterFunc(d, c.run)
}

// unwatch ends the reads of the record: the subscription has ended, and nothing must continue to
// run if Close is never called.
func (c *checkpoint) unwatch() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwatched = true
	if c.armed && c.looking {
		c.disarm()
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
	case c.closed:
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

// run saves the position or only reads the record, once.
func (c *checkpoint) run() {
	ctx, cancel := context.WithTimeout(c.ctx, saveTimeout)
	defer cancel()
	c.mu.Lock()
	c.armed, c.saving, c.cancelSave = false, true, cancel
	limit, watching := c.limit, c.looking
	c.looking = watching && !c.beats()
	looking := c.looking
	c.mu.Unlock()
	if limit != nil {
		defer context.AfterFunc(limit, cancel)()
	}
	if looking {
		c.look(ctx)
		c.over(nil)
		return
	}
	c.dirty.Store(false)
	events, token := c.window.Low()
	err := c.save(ctx, events, token, watching || c.final.Load())
	c.over(func() {
		if c.err = err; err != nil {
			c.failures++
		} else {
			c.covered, c.failures = events, 0
		}
	})
}

// over ends a run with its outcome and schedules the next one.
func (c *checkpoint) over(outcome func()) {
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
	case c.fatal != nil:
	case c.onRequest:
		c.watch()
	case c.err != nil:
		c.arm(min(firstSaveWait<<min(c.failures-1, 20), maxSaveWait))
	case c.dirty.Load():
		c.arm(c.every)
	default:
		c.watch()
	}
}

// save stores the low mark unless the record already covers it. beat forces a change of the record if beats
// requires one.
func (c *checkpoint) save(ctx context.Context, events uint64, token string, beat bool) error {
	if c.fatal != nil {
		return c.fatal
	}
	next := c.rec
	next.Saved = time.Now().UTC()
	idle := events == 0 && token == "" // nothing is acknowledged yet
	if !idle {
		next.Token, next.Events = token, c.base+events
	}
	if c.isSettled() {
		next.Contest = 0
	}
	done := idle || c.durable && c.rec.Token == next.Token && c.rec.Events == next.Events
	if !c.unknown && done && !(beat && c.beats()) {
		return nil
	}
	start := time.Now()
	err := c.write(ctx, next)
	c.report(SaveInfo{Err: err, Events: next.Events, Took: time.Since(start)})
	if done && c.final.Load() && c.fatal == nil {
		return nil // the write was only needed to end a contest
	}
	return err
}

// write stores next. If a write fails, its outcome is found by reading back: a write counts as
// stored or lost only once a read has confirmed it. A record that has landed may not be durable,
// because the read may have come from a cache: it is written once more.
func (c *checkpoint) write(ctx context.Context, next record) error {
	if c.unknown {
		if err := c.readBack(ctx); err != nil {
			return err
		}
	}
	landed, err := c.put(ctx, next)
	if landed {
		_, err = c.put(ctx, next)
	}
	return err
}

// put saves next under a new number. landed reports that Save failed but the store returns next.
func (c *checkpoint) put(ctx context.Context, next record) (landed bool, err error) {
	c.writes++
	next.Write = c.writes
	version, err := c.store.Save(ctx, c.key, next.encode(), c.version)
	if err == nil {
		c.rec, c.version, c.durable = next, version, true
		return false, nil
	}
	c.unknown, c.durable = true, false
	if rerr := c.readBack(ctx); c.fatal != nil {
		return false, rerr
	}
	return !c.unknown && c.rec.Write == next.Write, &CheckpointError{c.key, "save", err}
}

// readBack sets rec and version to what the store holds. It returns an error if that is not known
// or not ours.
func (c *checkpoint) readBack(ctx context.Context) error {
	data, version, err := c.store.Load(ctx, c.key)
	if err != nil {
		return &CheckpointError{c.key, "load", err}
	}
	stored, perr := parseRecord(data)
	switch {
	case perr == nil && stored.sameWriter(c.rec) && stored.Write >= c.rec.Write:
		c.rec, c.version, c.unknown, c.lost = stored, version, false, 0
		return nil
	case perr == nil && stored.Epoch >= c.rec.Epoch && !stored.sameWriter(c.rec):
		c.fail(ErrFenced)
		return ErrFenced
	}
	if c.lost++; c.lost == 1 {
		c.since = time.Now()
	}
	if c.lost < maxLost || time.Since(c.since) < lostWait {
		return &CheckpointError{c.key, "load", errors.New("the record is older than the last save; the read may be stale")}
	}
	err = &CheckpointError{c.key, "load", fmt.Errorf("%w: the record of epoch %d is gone", errLost, c.rec.Epoch)}
	c.fail(err)
	return err
}

// fail ends the subscription because it no longer owns its position.
func (c *checkpoint) fail(err error) {
	if c.fatal == nil {
		c.fatal = err
		close(c.dead)
		c.stop(err)
	}
}

var errLost = errors.New("the store has lost data")

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
		case <-c.dead:
			err = c.fatal
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
// store are cancelled and flush waits for them to return.
func (c *checkpoint) flush() error {
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	c.mu.Lock()
	c.limit = ctx
	c.final.Store(true)
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

// close ends all saving and joins its goroutine.
func (c *checkpoint) close() {
	if c == nil {
		return
	}
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

// state returns the checkpoint's part of Stats.
func (c *checkpoint) state() (covered uint64, failures int, err error) {
	if c == nil {
		return 0, 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.covered, c.failures, c.err
}
