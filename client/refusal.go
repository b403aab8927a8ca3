package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// RetryAfter returns an error for [Event.Nack], or for a handler to return, that wraps err and asks
// for the event after d instead of the default delay. A d below retry.MinDelay, 10 ms, means that.
// It has no effect on an event that its sender repeats.
func RetryAfter(d time.Duration, err error) error {
	return &delayed{max(d, retry.MinDelay), orRefused(err)}
}

// Terminal returns an error for [Event.Nack], or for a handler to return, that wraps err and refuses
// the event permanently: it is passed to [Options.DeadLetter]. See there for what happens without.
func Terminal(err error) error { return &terminal{orRefused(err)} }

var errRefused = errors.New("refused")

func orRefused(err error) error {
	if err == nil {
		return errRefused
	}
	return err
}

type delayed struct {
	delay time.Duration
	err   error
}

func (e *delayed) Error() string { return e.err.Error() }
func (e *delayed) Unwrap() error { return e.err }

type terminal struct{ err error }

func (e *terminal) Error() string { return e.err.Error() }
func (e *terminal) Unwrap() error { return e.err }

// A RefusedError ends a subscription without [Options.DeadLetter] whose consumer has refused an
// event permanently, by [Terminal] or in its last attempt. The event is not acknowledged: with a
// Store, it is delivered again after a restart.
type RefusedError struct {
	Event Event
	Err   error // the argument of Nack
}

func (e *RefusedError) Error() string {
	which := ""
	if e.Event.hasPublicID() {
		which = fmt.Sprintf(" %q", e.Event.ID)
	}
	return fmt.Sprintf("client: event%s refused permanently in attempt %d: %v: set Options.DeadLetter to continue", which, e.Event.Attempt, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

const (
	firstRedelivery = time.Second
	maxRedelivery   = time.Minute
)

// redelivery returns the delay before an event that was refused attempt times is delivered again.
func redelivery(attempt int) time.Duration {
	d := firstRedelivery
	for i := 1; i < attempt && d < maxRedelivery; i++ {
		d *= 2
	}
	return min(d, maxRedelivery)
}

// redeliveryAfter returns the delay before the event is delivered again.
func redeliveryAfter(e *Event, reason error) time.Duration {
	var asked *delayed
	if errors.As(reason, &asked) {
		return asked.delay
	}
	return redelivery(e.claim.Attempt())
}

// isFinal reports whether a refusal is the event's last one.
func (s *Subscription) isFinal(e *Event, reason error) bool {
	if limit := s.opts.MaxAttempts; limit > 0 && e.Attempt >= limit {
		return true
	}
	var t *terminal
	return errors.As(reason, &t)
}

func (s *Subscription) nack(e *Event, reason error) error {
	if err := s.sealed.reason(); err != nil {
		return err
	}
	s.suspects.Load().refused()
	switch final := s.isFinal(e, reason); {
	case final && s.letters != nil:
		s.deadLetter(e, reason, nil)
	case e.isReturned():
		s.returnToSender(e, reason)
	case !final:
		if s.window.GiveBack(&e.claim, time.Now().Add(redeliveryAfter(e, reason))) {
			s.report.nacked(e, reason)
		}
	case s.loop.pushed:
		s.discard(e, reason)
	default:
		s.stop(e, reason)
	}
	return nil
}

// returnToSender refuses an event whose sender waits for the outcome and repeats it.
func (s *Subscription) returnToSender(e *Event, reason error) {
	if s.window.Settle(&e.claim) {
		e.settle(reason)
		s.checkpoint.touch()
		s.report.nacked(e, reason)
	}
}

// discard drops an event that was refused permanently and that its sender does not repeat. It cannot
// be delivered again after a restart either: stopping would lose the rest of the buffer as well.
func (s *Subscription) discard(e *Event, reason error) {
	if s.window.Settle(&e.claim) {
		if e.settle != nil {
			e.settle(reason)
		}
		s.report.nacked(e, reason)
		s.report.discarded(e, reason)
	}
}

// stop ends the subscription at an event that was refused permanently. The event is never settled.
func (s *Subscription) stop(e *Event, reason error) {
	if s.window.Hold(&e.claim) {
		s.report.nacked(e, reason)
		s.cancel(&RefusedError{Event: *e, Err: reason})
	}
}
