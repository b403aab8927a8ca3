package retry

import (
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
	grown   [ClassPermanent]*course // of each class; nil before its first failure in this run
	attempt int                     // failures in this run
	since   time.Time               // start of this run
	worked  bool                    // a connection has made progress
}

// course is the state of a schedule in this run.
type course struct {
	Schedule
	growth  backoff.BackOff
	retried int
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
// run. If its failure is of class Network, the delay is that of Policy.Reconnect; otherwise it is
// the first one of the schedule of the class.
//
// After TokenRejected, the next attempt must present no token or another one. That choice is the
// caller's; the decision does not depend on it.
func (b *Backoff) Next(f Failure) Decision {
	if f.Err == nil {
		f.Err = io.EOF
	}
	progress := b.Progress(f)
	if !progress {
		b.attempt++
	}
	d := Decision{Class: b.classify(f.Err), Attempt: b.attempt, Elapsed: time.Since(b.since)}
	c := b.course(d.Class, progress)
	if b.exhausted(c, d.Class) {
		d.Stop = true
		return d
	}
	c.retried++
	d.Delay = b.delay(c, &d, &f, progress)
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
	b.grown, b.attempt, b.since, b.worked = [ClassPermanent]*course{}, 0, time.Now(), true
	return true
}

// exhausted reports whether the attempts of a class are used up. Those of Protocol are limited only
// until a connection has made progress.
func (b *Backoff) exhausted(c *course, class Class) bool {
	limited := c.Attempts > 0 && !(b.worked && class == ClassProtocol)
	return c.Attempts < 0 || limited && c.retried >= c.Attempts
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

// course returns the state of the schedule for a failure.
func (b *Backoff) course(class Class, progress bool) *course {
	if class == ClassPermanent {
		return &course{Schedule: never}
	}
	if progress && class == ClassNetwork {
		return &course{Schedule: b.policy.Reconnect, growth: b.policy.Reconnect.growth()}
	}
	if b.grown[class] == nil {
		s := b.policy.schedule(class)
		b.grown[class] = &course{Schedule: s, growth: s.growth()}
	}
	return b.grown[class]
}

// delay takes the next delay of c, raises its fixed part to what the server asks for, and adds the
// random part.
func (b *Backoff) delay(c *course, d *Decision, f *Failure, progress bool) time.Duration {
	certain, random := c.split(c.growth.NextBackOff())
	if c.Jitter == 0 && !c.constant() {
		most := min(random, max(c.Initial, d.Elapsed)) // the recovery takes at most as long as the outage
		certain, random = most-most/2, most/2
	}
	if asked := min(f.ServerDelay, b.policy.MaxServerDelay); asked > 0 && d.Class == ClassNetwork {
		if progress || c.constant() {
			certain = asked
		}
		certain = max(certain, asked)
	}
	certain = max(certain, min(retryAfter(f.Err), b.policy.MaxRetryAfter))
	return max(certain+draw(random), MinDelay)
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

// statusCode returns the status of the response that caused err, or 0.
func statusCode(err error) int {
	var s interface{ StatusCode() int }
	if !errors.As(err, &s) {
		return 0
	}
	return s.StatusCode()
}
