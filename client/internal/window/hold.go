package window

import "time"

// The methods in this file keep an event that a consumer has refused. They may be called by several
// goroutines at once.

// Hold makes an event that was claimed unavailable: only the caller can settle it, with SettleHeld,
// take it again with Retake, or make it available with Release. It returns false if c is from an
// earlier attempt or the event is already settled or given back.
func (w *Window) Hold(c *Claim) bool {
	word := c.state.Load()
	if !c.isCurrent(word) || !c.state.CompareAndSwap(word, stateOf(c.seq, c.attempt, slotHeld)) {
		return false
	}
	w.held.Add(1)
	return true
}

// SettleHeld marks an event that is held as done.
func (w *Window) SettleHeld(c *Claim) {
	if c.state.CompareAndSwap(stateOf(c.seq, c.attempt, slotHeld), stateOf(c.seq, c.attempt, slotSettled)) {
		w.held.Add(-1)
		w.settled()
	}
}

// Retake claims an event that is held, in its next attempt.
func (w *Window) Retake(c *Claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.segment(c.seq).slots[c.seq%segmentSize].countAgain()
	c.attempt++
	c.state.Store(stateOf(c.seq, c.attempt, slotClaimed))
	w.held.Add(-1)
}

// Release makes an event that is held available again at due.
func (w *Window) Release(c *Claim, due time.Time) {
	w.mu.Lock()
	c.state.Store(stateOf(c.seq, c.attempt, slotReady))
	w.returned.add(c.seq, due)
	w.returns.Add(1)
	w.mu.Unlock()
	w.held.Add(-1)
	w.wake()
	w.settled() // consumers wait for the last held event
}

// isBlocked reports whether consumers must wait for a settle: the window has ended and the events that
// are held may be delivered again, or there are events and another one is in hand.
func (w *Window) isBlocked() bool {
	if w.alone.Load() && w.hasUnclaimed(0) {
		return !w.hasNext(0)
	}
	if w.held.Load() == 0 {
		return false
	}
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// watchBlocked is Watch if isBlocked, and otherwise returns nil.
func (w *Window) watchBlocked() (changed <-chan struct{}, stop func()) {
	if w.isBlocked() {
		return w.Watch()
	}
	return nil, func() {}
}
