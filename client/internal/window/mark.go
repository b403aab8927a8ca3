package window

// SetMark records that what was added so far belongs together. The producer calls it once.
func (w *Window) SetMark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isMarked, w.markedAt = true, w.staged
	if q := w.queue; q != nil {
		w.markedNumber, w.markedLeft = q.count, q.events
	}
}

// unmark records that an event has left the queue. The caller holds mu.
func (w *Window) unmark(n uint64) {
	if w.markedLeft > 0 && n <= w.markedNumber {
		w.markedLeft--
		w.markedAt = w.staged
	}
}

// IsMarkSettled reports whether SetMark was called and every event before it is settled, or dropped.
func (w *Window) IsMarkSettled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isMarked && w.markedLeft == 0 && w.advance().seq >= w.markedAt
}
