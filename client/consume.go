package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Events returns the events in order. The loop's body finishing acknowledges the
// event, so that a crash inside the body brings it again; leaving the body early, by
// break, return or panic, does not: the event is handed out again to whoever asks next.
//
// The loop ends without an error when the feed is complete and after Close. Any other
// end is the last element, with a zero Event: a *StopError, ErrFenced, or the cause of
// the context that Subscribe was given. Failures that are retried never get here, so a feed
// that cannot be reached is a loop that waits: see [Subscription.WaitConnected] and
// [Options.Logger].
//
// Several goroutines may range over Events at once; each event goes to one of them.
func (s *Subscription) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var ev Event
		inBody := false
		defer func() {
			if inBody {
				s.window.giveBack(&ev, time.Now())
			}
		}()
		for {
			var err error
			if err = s.next(context.Background(), &ev); err != nil {
				if err = loopError(err); err != nil {
					yield(Event{}, err)
				}
				return
			}
			inBody = true
			if !yield(ev, nil) {
				return
			}
			inBody = false
			s.ack(&ev)
		}
	}
}

// Batches returns the events in order in batches of at most max events, which are
// acknowledged together when the loop's body finishes. A batch is handed out when it is
// full, when wait has passed since its first event, or when the buffer is full; with
// wait 0 it is what is there at the moment. No batch is empty. A max below 1 or above
// Options.Buffer means Options.Buffer. The slice is the consumer's own. Otherwise it is
// like Events.
func (s *Subscription) Batches(max int, wait time.Duration) iter.Seq2[[]Event, error] {
	if max < 1 || max > s.opts.Buffer {
		max = s.opts.Buffer
	}
	return func(yield func([]Event, error) bool) {
		var open []Event
		defer func() { s.giveBack(open) }()
		for {
			batch, err := s.nextBatch(max, wait)
			if err != nil {
				if err = loopError(err); err != nil {
					yield(nil, err)
				}
				return
			}
			open = batch
			// The body may do as it likes with its slice.
			if !yield(append([]Event(nil), batch...), nil) {
				return
			}
			open = nil
			for i := range batch {
				s.ack(&batch[i])
			}
		}
	}
}

// giveBack makes events available again that were handed out and not finished.
func (s *Subscription) giveBack(evs []Event) {
	now := time.Now()
	for i := range evs {
		s.window.giveBack(&evs[i], now)
	}
}

func (s *Subscription) nextBatch(max int, wait time.Duration) ([]Event, error) {
	var first Event
	if err := s.next(context.Background(), &first); err != nil {
		return nil, err
	}
	batch := append(make([]Event, 0, min(max, 16)), first)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	for len(batch) < max && s.ctx.Err() == nil {
		var ev Event
		if s.window.claim(&ev) {
			batch = append(batch, ev)
			continue
		}
		if wait <= 0 || s.window.full.Load() || s.wait(ctx, s.window.pressure()) != nil {
			break // an end of the feed comes back at the next call
		}
	}
	if s.ctx.Err() != nil {
		s.giveBack(batch)
		return nil, context.Cause(s.ctx)
	}
	return batch, nil
}

// Next returns the next event, which the caller settles with its Ack or Nack.
// ctx bounds this wait only; its cause is returned when it ends. When the feed is
// complete Next returns io.EOF, after Close it returns ErrClosed, and otherwise the
// same errors as Events. It may be called from several goroutines.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	var ev Event
	if err := s.next(ctx, &ev); err != nil {
		return Event{}, err
	}
	return ev, nil
}

// loopError turns the ends that a loop does not report into nil.
func loopError(err error) error {
	if err == io.EOF || errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// next waits for the next event.
func (s *Subscription) next(ctx context.Context, ev *Event) error {
	for {
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		if s.window.claim(ev) {
			return nil
		}
		if err := s.wait(ctx, nil); err != nil {
			return err
		}
	}
}

// wait returns nil when there may be an event to claim, or hurry is closed.
func (s *Subscription) wait(ctx context.Context, hurry <-chan struct{}) error {
	w := s.window
	waiting := &w.starved
	var rested <-chan time.Time
	if w.busy.Load() {
		waiting = &w.dozing
		timer := s.dozer()
		defer s.dozers.Put(timer)
		defer timer.Stop()
		rested = timer.C
	}
	waiting.Add(1)
	defer waiting.Add(-1)
	// From here on publish signals, so one more look makes sure that none was missed.
	if w.next.Load() < w.tail.Load() {
		return nil
	}
	var due <-chan time.Time
	at, returning := w.nextReturn()
	if returning {
		left := time.Until(at)
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		due = timer.C
	}
	over := s.over
	if returning {
		over = nil // what was refused is still to be handed out
	}
	select {
	case <-w.ready:
	case <-rested:
		w.rest()
	case <-due:
	case <-hurry:
		w.passOn() // the caller is about to leave with what it has
	case <-over:
		if w.next.Load() >= w.tail.Load() && w.returns.Load() == 0 {
			return s.end
		}
	case <-s.ctx.Done():
	case <-ctx.Done():
		w.passOn() // another consumer has to wait for what is returned
		return context.Cause(ctx)
	}
	return nil
}

// dozer returns a timer that runs for a doze, to be put back into dozers.
func (s *Subscription) dozer() *time.Timer {
	if t, ok := s.dozers.Get().(*time.Timer); ok {
		t.Reset(doze)
		return t
	}
	return time.NewTimer(doze)
}

const (
	firstRedelivery = time.Second
	maxRedelivery   = time.Minute
)

// redelivery returns how long an event waits that was refused attempt times.
func redelivery(attempt int) time.Duration {
	d := firstRedelivery
	for i := 1; i < attempt && d < maxRedelivery; i++ {
		d *= 2
	}
	return min(d, maxRedelivery)
}

func (s *Subscription) ack(e *Event) error {
	if err := s.sealed(); err != nil {
		return err
	}
	if s.window.settle(e) {
		if e.settle != nil {
			e.settle(nil)
		}
		s.checkpoint.touch()
	}
	return nil
}

func (s *Subscription) nack(e *Event, reason error) error {
	if err := s.sealed(); err != nil {
		return err
	}
	if e.settle != nil {
		if s.window.settle(e) {
			e.settle(reason)
			s.checkpoint.touch()
		}
	} else if !s.window.giveBack(e, time.Now().Add(redelivery(e.try))) {
		return nil
	}
	s.stats.nacked.Add(1)
	if s.opts.Trace.Nacked != nil {
		s.opts.Trace.Nacked(*e, reason)
	}
	return nil
}

// sealed returns why the position can no longer move, nil while it can.
func (s *Subscription) sealed() error {
	if err := s.seal.Load(); err != nil {
		return *err
	}
	return nil
}
