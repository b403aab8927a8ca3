package window

// The methods in this file keep an event that a consumer has refused. They may be called by several
// goroutines at once.

// Hold makes an event that was claimed unavailable: only the caller can settle it, with SettleHeld.
// It returns false if c is from an earlier attempt or the event is already settled or given back.
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

// watchHeld returns a channel that is closed at the next settle if the window has ended and events
// are held, and otherwise nil: consumers wait for them, because they may be delivered again.
func (w *Window) watchHeld() (changed <-chan struct{}, stop func()) {
	if w.held.Load() > 0 {
		select {
		case <-w.ended:
			return w.Watch()
		default:
		}
	}
	return nil, func() {}
}
