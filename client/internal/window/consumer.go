package window

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// The methods in this file are the consumers'. They may be called by several goroutines at once.

// A Claim is the right to settle an event: of one consumer, in one attempt.
type Claim struct {
	state   *atomic.Uint64 // the word of the event's slot
	seq     uint64
	attempt int
}

// Attempt returns how many times the event was claimed, from 1.
func (c *Claim) Attempt() int { return c.attempt }

// isCurrent reports whether c is from the current attempt, given the word of its slot. Positions in
// a slot's word only grow.
func (c *Claim) isCurrent(word uint64) bool {
	if c.attempt == 1 && (word == 0 || word>>16 < c.seq&(1<<48-1)) {
		return true
	}
	return word == stateOf(c.seq, c.attempt, slotClaimed)
}

// Claim takes the next event and returns its slot, which may be read until the event is settled or
// given back. It returns nil if no event is available.
func (w *Window) Claim(c *Claim) *Slot {
	if w.alone.Load() {
		return w.claimAlone(c)
	}
	if w.queue != nil {
		return w.claimQueued(c)
	}
	if w.returns.Load() > 0 {
		if e := w.ClaimReturned(c); e != nil {
			return e
		}
	}
	for {
		seq := w.next.Load()
		if seq >= w.tail.Load() {
			return nil
		}
		if !w.next.CompareAndSwap(seq, seq+1) {
			continue
		}
		e := w.segment(seq).claim(seq, c)
		w.PassOn()
		return e
	}
}

// claimQueued is Claim with a queue.
func (w *Window) claimQueued(c *Claim) *Slot {
	e := w.ClaimReturned(c)
	if e == nil && w.queue.ready.Load() > 0 {
		w.mu.Lock()
		e = w.claimFirst(c)
		w.mu.Unlock()
		w.PassOn()
	}
	return e
}

// PassOn wakes another consumer if there may be more events: publish wakes only one. A consumer that
// ends after Wait has returned nil calls it.
func (w *Window) PassOn() {
	if w.starved.Load() > 0 && (w.hasUnclaimed(0) || w.returns.Load() > 0) {
		signal(w.ready)
	}
}

// claimReturned takes the oldest returned event that is due.
func (w *Window) claimReturned(c *Claim, now time.Time) *Slot {
	w.mu.Lock()
	defer w.mu.Unlock()
	seq, ok := w.returned.removeDue(now)
	if !ok {
		return nil
	}
	w.returns.Add(-1)
	seg := w.segment(seq)
	if stateIn(w.state(seq).Load(), seq) != slotUnclaimed {
		seg.slots[seq%segmentSize].countAgain()
	}
	e := seg.claim(seq, c)
	c.state.Store(stateOf(seq, c.attempt, slotClaimed))
	return e
}

// GiveBack makes an event that was claimed available again at due. It returns false if c is from an
// earlier attempt or the event is already settled or given back.
func (w *Window) GiveBack(c *Claim, due time.Time) bool {
	return w.giveBack(c, due, slotReady)
}

// Unclaim is GiveBack of an event that no consumer has seen: its next attempt has the same number.
func (w *Window) Unclaim(c *Claim, due time.Time) bool {
	return w.giveBack(c, due, slotUnclaimed)
}

func (w *Window) giveBack(c *Claim, due time.Time, state uint64) bool {
	w.mu.Lock()
	word := c.state.Load()
	ok := c.isCurrent(word) && c.state.CompareAndSwap(word, stateOf(c.seq, c.attempt, state))
	if ok {
		w.returned.add(c.seq, due)
		w.returns.Add(1)
	}
	w.mu.Unlock()
	if ok {
		w.wake()
	}
	return ok
}

// Settle marks an event as done. It returns false if c is from an earlier attempt or the event is
// already settled or given back.
func (w *Window) Settle(c *Claim) bool {
	word := c.state.Load()
	if !c.isCurrent(word) || !c.state.CompareAndSwap(word, stateOf(c.seq, c.attempt, slotSettled)) {
		return false
	}
	w.settled()
	return true
}

// settled notifies the producer and the watchers that low may be able to move.
func (w *Window) settled() {
	if w.full.Load() {
		signal(w.space)
	}
	if w.watchers.Load() > 0 {
		w.mu.Lock()
		if w.changed != nil {
			close(w.changed)
			w.changed = nil
		}
		w.mu.Unlock()
	}
}

// nextReturn returns when the earliest returned event is due. ok is false if there is none.
func (w *Window) nextReturn() (due time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.returned.next()
}

// IsFull reports whether the producer waits for space.
func (w *Window) IsFull() bool { return w.full.Load() }

// IsCrowded reports whether the producer has no space: it waits for some, or drops events.
func (w *Window) IsCrowded() bool { return w.full.Load() || w.crowded.Load() }

// Wait returns nil when there may be an event to claim or stop receives, and io.EOF when the window
// has ended and no event is left. If ctx ends first, it returns the cause. A consumer that hurries
// does not wait while the producer waits for space.
//
// A publish or a returned event wakes one consumer, which passes the wake-up on if it leaves
// something for others.
func (w *Window) Wait(ctx context.Context, stop <-chan struct{}, hurries bool) error {
	return w.wait(ctx, stop, w.ready, hurries, 0)
}

// WaitAfter is Wait for a consumer that looks for events in the queue and can claim none of those up to
// number after. What is new wakes it through stop; see Notify.
func (w *Window) WaitAfter(ctx context.Context, stop <-chan struct{}, after uint64) error {
	return w.wait(ctx, stop, nil, false, after)
}

func (w *Window) wait(ctx context.Context, stop, ready <-chan struct{}, hurries bool, after uint64) error {
	waiting := &w.starved
	var poll <-chan time.Time
	if w.busy.Load() {
		waiting = &w.polling
		timer := w.timer(pollAfter)
		defer w.timers.Put(timer)
		defer timer.Stop()
		poll = timer.C
	}
	waiting.Add(1)
	defer waiting.Add(-1)
	// From here on publish signals. An event published before that is found by checking once more.
	if w.hasNext(after) {
		return nil
	}
	var due <-chan time.Time
	ended := w.ended
	if at, ok := w.nextReturn(); ok {
		left := time.Until(at)
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		due, ended = timer.C, nil // a refused event must still be delivered
	}
	changed, stopWatch := w.watchBlocked()
	defer stopWatch()
	if changed != nil {
		if !w.isBlocked() {
			return nil
		}
		ended = nil
	}
	var pressed <-chan struct{}
	if hurries {
		pressed = w.pressure()
	}
	select {
	case <-ready:
	case <-poll:
		w.stopPolling()
	case <-due:
	case <-changed:
	case <-pressed:
		w.PassOn() // the caller returns with what it has
	case <-ended:
		if !w.hasUnclaimed(after) && w.returns.Load() == 0 && w.held.Load() == 0 {
			return io.EOF
		}
	case <-stop:
	case <-ctx.Done():
		w.PassOn() // another consumer must wait for returned events
		return context.Cause(ctx)
	}
	return nil
}

// timer returns a timer set to d. The caller puts it back into timers.
func (w *Window) timer(d time.Duration) *time.Timer {
	if t, ok := w.timers.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

// stopPolling is called by a consumer that has polled. If no event has arrived, consumers wait to be
// woken from then on.
func (w *Window) stopPolling() {
	if !w.hasUnclaimed(0) {
		w.busy.Store(false)
	}
}

// pressure returns a channel that is closed while the producer has no space.
func (w *Window) pressure() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pressed == nil {
		w.pressed = make(chan struct{})
		if w.IsCrowded() {
			close(w.pressed)
		}
	}
	return w.pressed
}
