package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Events returns the events in order. When the loop's body finishes, it acknowledges the event. If
// the process crashes in the body, the event is delivered again after a restart. If the body is
// left early, by break, return or panic, the event is delivered again to the next caller.
//
// The loop ends without an error when the feed is complete and after Close. Any other end is the
// last element, with a zero Event: a *StopError, ErrFenced, a *CheckpointError, or the cause of the
// context given to Subscribe. The loop never returns failures that are retried: it waits while a
// feed cannot be reached; see [Subscription.WaitConnected] and [Options.Logger].
//
// Several goroutines may range over Events at once; each event is delivered to one of them.
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

// Batches is like Events, but returns the events in batches of at most max events, which are
// acknowledged together when the loop's body finishes. A batch is delivered when it is full, when
// wait has passed since its first event, or when the buffer is full; with wait 0 it holds the
// events that are available. No batch is empty. A max below 1 or above Options.Buffer means
// Options.Buffer. The slice belongs to the consumer.
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
			// The body may change its slice.
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

// giveBack returns events to the window that were delivered and not finished.
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
			break // the next call returns the end of the feed
		}
	}
	if s.ctx.Err() != nil {
		s.giveBack(batch)
		return nil, context.Cause(s.ctx)
	}
	return batch, nil
}

// Next returns the next event, which the caller must settle with Ack or Nack. ctx bounds this wait
// only; if it ends first, Next returns its cause. Next returns io.EOF when the feed is complete,
// ErrClosed after Close, and otherwise the same errors as Events. It may be called from several
// goroutines.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	var ev Event
	if err := s.next(ctx, &ev); err != nil {
		return Event{}, err
	}
	return ev, nil
}

// loopError returns nil for the ends that a loop does not report, and err otherwise.
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

// wait returns nil when there may be an event to claim or when hurry is closed.
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
	// From here on publish signals. An event published before that is found by checking once more.
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
	over := s.loop.over
	if returning {
		over = nil // a refused event must still be delivered
	}
	select {
	case <-w.ready:
	case <-rested:
		w.rest()
	case <-due:
	case <-hurry:
		w.passOn() // the caller returns with what it has
	case <-over:
		if w.next.Load() >= w.tail.Load() && w.returns.Load() == 0 {
			return s.loop.end
		}
	case <-s.ctx.Done():
	case <-ctx.Done():
		w.passOn() // another consumer must wait for returned events
		return context.Cause(ctx)
	}
	return nil
}

// dozer returns a timer set to doze. The caller puts it back into dozers.
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

// redelivery returns the delay before an event that was refused attempt times is delivered again.
func redelivery(attempt int) time.Duration {
	d := firstRedelivery
	for i := 1; i < attempt && d < maxRedelivery; i++ {
		d *= 2
	}
	return min(d, maxRedelivery)
}

func (s *Subscription) ack(e *Event) error {
	if err := s.sealed.reason(); err != nil {
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
	if err := s.sealed.reason(); err != nil {
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
	s.report.nacked(e, reason)
	return nil
}
