package retry

import (
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// MinDelay is the minimum time between two attempts. A server cannot ask for less.
const MinDelay = 10 * time.Millisecond

// brief is how long a connection must last for its events to count as progress if they have not
// moved the position.
const brief = time.Second

// A Backoff counts the failures of one subscription and decides what follows each. It must be used
// from one goroutine. [Policy.Start] creates one.
type Backoff struct {
	policy  Policy
	runs    [ClassPermanent]run // of each class
	attempt int                 // failures in this run
	since   time.Time           // start of this run
	worked  bool                // a connection has made progress
}

// run is the state of a schedule since the last progress.
type run struct {
	growth   backoff.BackOff // nil before the first failure
	failures int
}

// A Failure is an attempt to connect that failed, or a connection that ended.
type Failure struct {
	Err    error         // the reason; io.EOF or nil if the server ended the connection cleanly
	Events int           // new events on this connection
	Moved  bool          // the position to resume from changed on this connection
	Uptime time.Duration // from open to end; 0 if it never opened

	// ServerDelay is the last reconnection time that the server asked for on this connection or an
	// earlier one (the SSE field retry). 0 means that it asked for none; a caller passes MinDelay
	// for a server that asks for less.
	ServerDelay time.Duration
}

// A Decision is what follows a Failure.
type Decision struct {
	Class Class
	Delay time.Duration // until the next attempt; at least MinDelay, or 0 with Stop
	Stop  bool          // no further attempt must follow

	Attempt int           // failures in a row without progress; 0 if this connection made progress
	Elapsed time.Duration // since the last progress, or since Start
}

// Next records a failure and decides what follows. A connection that made progress starts a new
// run. If its failure is of ClassNetwork, the delay is that of Policy.Reconnect; otherwise it is the
// first one of the class.
//
// After ClassTokenRejected, the next attempt must present no token or another one. That choice is
// the caller's; the decision does not depend on it.
func (b *Backoff) Next(f Failure) Decision {
	if f.Err == nil {
		f.Err = io.EOF
	}
	progress := b.Progress(f)
	if !progress {
		b.attempt++
	}
	d := Decision{Class: b.classify(f.Err), Attempt: b.attempt, Elapsed: time.Since(b.since)}
	if b.final(d.Class, progress) {
		d.Stop = true
		return d
	}
	d.Delay = b.delay(&d, &f, progress)
	if b.spent(d) {
		d.Delay, d.Stop = 0, true
	}
	return d
}

// Progress reports whether a connection made progress, as the package documentation defines it, and
// starts a new run if it did. Next calls it; a caller calls it for a connection that it ended
// itself.
func (b *Backoff) Progress(f Failure) bool {
	wanted := f.Moved || f.Events > 0 && (f.Uptime >= brief || f.ServerDelay > 0)
	if !wanted && (b.policy.Healthy < 0 || f.Uptime < b.policy.Healthy) {
		return false
	}
	b.runs, b.attempt, b.since, b.worked = [ClassPermanent]run{}, 0, time.Now(), true
	return true
}

// final counts a failure and reports whether it is final by its class, or as the end of a
// connection that made progress.
func (b *Backoff) final(class Class, progress bool) bool {
	switch {
	case class == ClassPermanent, progress && b.policy.Reconnect < 0:
		return true
	case progress && class == ClassNetwork:
		return false
	}
	b.runs[class].failures++
	limit := b.limit(class)
	return limit > 0 && b.runs[class].failures >= limit
}

// limit returns the number of failures of a class after which no further attempt is made. A value
// of 0 or less means no limit.
func (b *Backoff) limit(class Class) int {
	switch limit := b.policy.schedule(class).max; {
	case limit == 0 && class == ClassAuth:
		return 1
	case limit == 0 && class == ClassProtocol && !b.worked:
		return 4
	default:
		return limit
	}
}

func (b *Backoff) classify(err error) Class {
	if b.policy.Classify != nil {
		if c, ok := b.policy.Classify(err, b.attempt); ok && c <= ClassPermanent {
			return c
		}
	}
	c, _ := classify(err)
	return c.settled(b.worked)
}

// delay takes the next delay, raises its fixed part to what the server asks for, and adds the random
// part.
func (b *Backoff) delay(d *Decision, f *Failure, progress bool) time.Duration {
	s, next := b.next(d.Class, progress)
	fixed, random := s.split(next, d.Elapsed)
	limit := b.policy.MaxServerDelay
	if asked := min(f.ServerDelay, cmp.Or(limit, maxSSERetry), longest); asked > 0 && d.Class == ClassNetwork {
		if progress || s.constant {
			fixed = asked
		}
		fixed = max(fixed, asked)
	}
	fixed = max(fixed, min(retryAfter(f.Err), cmp.Or(limit, maxRetryAfter), longest))
	return max(fixed+draw(random), MinDelay)
}

// next returns the schedule that applies to a failure, and its next delay.
func (b *Backoff) next(class Class, progress bool) (schedule, time.Duration) {
	if progress && class == ClassNetwork {
		return b.policy.reconnect(), b.policy.Reconnect
	}
	s, r := b.policy.schedule(class), &b.runs[class]
	if r.growth == nil {
		r.growth = s.growth()
	}
	return s, r.growth.NextBackOff()
}

// spent reports whether the next attempt would exceed the limits of the run.
func (b *Backoff) spent(d Decision) bool {
	p := &b.policy
	return p.MaxAttempts > 0 && d.Attempt >= p.MaxAttempts ||
		p.MaxElapsed > 0 && d.Delay > p.MaxElapsed-d.Elapsed
}

// retryAfter returns how long the server asks to wait. A value of 0 or less means that it does not.
func retryAfter(err error) time.Duration {
	var r interface{ RetryAfter() time.Duration }
	if !errors.As(err, &r) {
		return 0
	}
	return r.RetryAfter()
}
