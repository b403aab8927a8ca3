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
// A body that cannot handle an event refuses it with [Event.Nack].
//
// The loop ends without an error when the feed is complete and after Close. Any other end is the
// last element, with a zero Event: a *StopError, a *RefusedError, ErrFenced, a *CheckpointError, or
// the cause of the context given to Subscribe. The loop never returns failures that are retried: it
// waits while a feed cannot be reached; see [Subscription.WaitConnected] and [Options.Logger].
//
// Several goroutines may range over Events at once; each event is delivered to one of them.
// [Subscription.Process] runs handlers on several goroutines and keeps the order of each key.
func (s *Subscription) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var ev Event
		inBody, panics := false, false
		defer func() {
			if inBody {
				s.window.GiveBack(&ev.claim, time.Now())
			}
			if panics {
				s.checkpoint.panicked()
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
			inBody, panics = true, true
			goOn := yield(ev, nil)
			if panics = false; !goOn {
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
		panics := false
		defer func() {
			s.giveBack(open)
			if panics {
				s.checkpoint.panicked()
			}
		}()
		for {
			batch, err := s.nextBatch(max, wait)
			if err != nil {
				if err = loopError(err); err != nil {
					yield(nil, err)
				}
				return
			}
			open, panics = batch, true
			// The body may change its slice.
			goOn := yield(append([]Event(nil), batch...), nil)
			if panics = false; !goOn {
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
		s.window.GiveBack(&evs[i].claim, now)
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
		full := s.window.IsCrowded() // before the claim: a full window publishes what it holds first
		if s.claim(&ev) {
			batch = append(batch, ev)
			continue
		}
		if wait <= 0 || s.window.IsAlone() || full || s.window.Wait(ctx, s.ctx.Done(), true) != nil {
			break // the next call returns the end of the feed
		}
	}
	if !s.checkpoint.holds() {
		<-s.ctx.Done() // the lease has ended while the batch was filled
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
		if s.claim(ev) {
			if s.suspects.Load().examine(ctx, ev) {
				return nil
			}
			continue
		}
		switch err := s.window.Wait(ctx, s.ctx.Done(), false); err {
		case nil:
		case io.EOF:
			return s.loop.result
		default:
			return err
		}
	}
}

// claim takes the next event. It returns false if none is available.
func (s *Subscription) claim(ev *Event) bool {
	if !s.checkpoint.holds() {
		return false
	}
	d := s.window.Claim(&ev.claim)
	if d == nil {
		return false
	}
	ev.sub = s
	ev.set(d)
	return true
}

func (s *Subscription) ack(e *Event) error {
	if err := s.sealed.reason(); err != nil {
		return err
	}
	if s.window.Settle(&e.claim) {
		if e.settle != nil {
			e.settle(nil)
		}
		s.checkpoint.touch()
		s.suspects.Load().settled()
	}
	return nil
}
