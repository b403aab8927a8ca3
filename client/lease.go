package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A lease is exclusive ownership of a checkpoint for a time that each save of the record starts anew.
// It is part of the record: the owner writes how long its lease lasts, and a subscription that wants
// to take the record over waits until the record has not changed for that long by its own clock, so
// that no clocks are compared. The owner counts from before it sends the save, so its lease ends
// earlier than any other process can see it end, and it stops before that.
const (
	minLease = time.Second
	maxLease = 24 * time.Hour

	// Parts of a lease: an owner that saves nothing else renews it after a renewPart; each call to the
	// store may take a callPart; one that fails is repeated after at most a retryPart; and a guardPart
	// is left to close the connection after the owner has stopped.
	renewPart = 4
	callPart  = 8
	retryPart = 20
	guardPart = 5

	// A standby reads the record after a pollPart of the lease, but at least each second.
	pollPart = 5
	maxPoll  = time.Second
)

// A tenure is the ownership of a checkpoint by a subscription with a lease. A nil *tenure is that of one
// without.
type tenure struct {
	lease  time.Duration
	expire func() // ends the subscription; called once, on any goroutine

	until atomic.Pointer[time.Time] // the subscription stops then, unless the lease is renewed before

	mu    sync.Mutex // held for a few instructions
	timer *time.Timer
	fired chan struct{} // closed when the timer's function has returned
	over  bool          // expired, or nothing is handed out any more
}

// newTenure returns nil if there is no lease.
func newTenure(lease time.Duration, expire func()) *tenure {
	if lease == 0 {
		return nil
	}
	return &tenure{lease: lease, expire: expire, fired: make(chan struct{})}
}

// ms returns the lease in milliseconds.
func (t *tenure) ms() int64 {
	if t == nil {
		return 0
	}
	return t.lease.Milliseconds()
}

// callTimeout is the maximum duration of a call to the store.
func (t *tenure) callTimeout() time.Duration {
	if t == nil {
		return saveTimeout
	}
	return min(saveTimeout, t.lease/callPart)
}

// renew extends the lease after a save that was sent at a time. It returns false if that is too long
// ago.
func (t *tenure) renew(sent time.Time) bool {
	if t == nil {
		return true
	}
	until := sent.Add(t.lease - t.lease/guardPart)
	left := time.Until(until)
	if left <= 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
	case t.timer == nil:
		t.until.Store(&until)
		t.timer = time.AfterFunc(left, func() {
			defer close(t.fired)
			t.end()
		})
	case t.timer.Stop(): // otherwise it ends now
		t.until.Store(&until)
		t.timer.Reset(left)
	}
	return true
}

// holds reports whether events may be handed out. A process that was stopped for a while may find out
// here before its timer fires. Where the monotonic clock stands still while a machine sleeps, the wall
// clock does not.
func (t *tenure) holds() bool {
	if t == nil {
		return true
	}
	until := t.until.Load()
	if until == nil {
		return true
	}
	if now := time.Now(); now.Before(*until) && now.UnixNano() < until.UnixNano() {
		return true
	}
	t.end()
	return false
}

// end ends the subscription, unless the lease is not needed any more.
func (t *tenure) end() {
	t.mu.Lock()
	over := t.over
	t.over = true
	t.mu.Unlock()
	if !over {
		t.expire()
	}
}

// rest stops the timer, because nothing is handed out any more. It returns false if the timer's
// function runs or has run.
func (t *tenure) rest() bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.until.Store(nil)
	if t.timer == nil {
		return true
	}
	stopped := t.timer.Stop()
	if stopped {
		t.timer = nil
	}
	return stopped
}

// close joins the timer's goroutine.
func (t *tenure) close() {
	if !t.rest() {
		<-t.fired
	}
}

// expired ends a subscription that could not renew its lease. If the record is gone, the error is not
// ErrFenced: the next Subscribe would start without a position.
func (s *Subscription) expired() {
	_, _, err := s.checkpoint.state()
	if !errors.Is(err, errLost) {
		err = &leaseError{s.opts.Lease, err}
	}
	s.fail(err)
}

// A leaseError ends a subscription that could not renew its lease. It is ErrFenced.
type leaseError struct {
	lease time.Duration
	cause error // of the last save; nil if none has failed
}

func (e *leaseError) Error() string {
	text := fmt.Sprintf("client: the lease of %v could not be renewed in time", e.lease)
	if e.cause == nil {
		return text + ": the process was stopped or overloaded, or the store does not answer"
	}
	return fmt.Sprintf("%s: %v", text, e.cause)
}

func (e *leaseError) Unwrap() error        { return e.cause }
func (e *leaseError) Is(target error) bool { return target == ErrFenced }

// A leased reports that another subscription owns the record, and has a lease.
type leased struct {
	rec     record
	version string
	since   time.Time // when the version was first read
}

func (*leased) Error() string { return "client: another subscription has a lease" }

// isLeased reports whether r has an owner with a lease, which may be over.
func (r record) isLeased() bool { return r.Lease > 0 && !r.Released }

// lease returns how long the record must not change before it may be taken over.
func (r record) lease() time.Duration { return time.Duration(r.Lease) * time.Millisecond }

// awaitLease waits until the lease of another owner is over: it was released, or the record has not
// changed for as long as the lease lasts. It returns an error if maxLost reads in a row fail.
func (l *ledger) awaitLease(ctx context.Context, wait *leased) error {
	for failed := 0; ; {
		lease := wait.rec.lease()
		left := lease - time.Since(wait.since)
		if left <= 0 {
			l.over = wait.version
			return nil
		}
		pause(ctx, min(left, pollEvery(lease)), nil)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r, version, err := l.load(ctx)
		switch {
		case err != nil:
			if failed++; failed == maxLost || isDamage(err) || l.isLost() {
				return err
			}
			continue
		case version == wait.version:
		case !r.isLeased(), r.sameWriter(l.claimed):
			return nil
		default:
			if r.Epoch != wait.rec.Epoch {
				l.standsBy(r)
			}
			wait.rec, wait.version, wait.since = r, version, time.Now()
			l.seen = r.Epoch
		}
		failed = 0
	}
}

// pollEvery returns the time until a standby reads the record again.
func pollEvery(lease time.Duration) time.Duration {
	d := min(lease/pollPart, maxPoll)
	return d - rand.N(d/5)
}

func isDamage(err error) bool {
	var ce *CheckpointError
	return errors.As(err, &ce) && ce.Op == "read"
}

// takeTurn takes the checkpoint over as soon as the lease of its owner is over. It returns the stored
// record, or an error if ctx has ended or the record is damaged.
func (s *Subscription) takeTurn(ctx context.Context, wait *leased) (record, error) {
	l := &s.checkpoint.ledger
	var failing trouble
	for {
		l.seen = wait.rec.Epoch
		err := l.awaitLease(ctx, wait)
		var stored record
		if err == nil {
			stored, err = l.takeOver(ctx)
		}
		var again *leased
		switch {
		case err == nil:
			return stored, nil
		case ctx.Err() != nil:
			return record{}, context.Cause(ctx)
		case errors.As(err, &again):
			if again.rec.Epoch != wait.rec.Epoch || failing.count > 0 {
				s.report.standsBy(again.rec)
			}
			wait, failing = again, trouble{}
		case isDamage(err), l.isLost():
			return record{}, err
		default:
			s.report.notTakenOver(err, &failing)
			pause(ctx, pollEvery(wait.rec.lease()), nil)
		}
	}
}
