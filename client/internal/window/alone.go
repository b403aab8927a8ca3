package window

import "time"

// SetAlone sets whether an event can be claimed only once every earlier one is settled, so that only
// one is in hand at any time. It is set before the first claim.
func (w *Window) SetAlone(alone bool) {
	if w.alone.Swap(alone) && !alone {
		w.wake()
		w.settled() // consumers wait for that
	}
}

// IsAlone reports whether only one event is in hand at any time.
func (w *Window) IsAlone() bool { return w.alone.Load() }

// claimAlone is Claim while only one event may be in hand.
func (w *Window) claimAlone(c *Claim) *Slot {
	if w.returns.Load() > 0 {
		return w.claimReturned(c, time.Now()) // no other event is in hand
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	seq := w.advance().seq
	if w.queue != nil {
		if seq < w.staged {
			return nil
		}
		return w.claimFirst(c)
	}
	if seq >= w.tail.Load() || !w.next.CompareAndSwap(seq, seq+1) {
		return nil
	}
	return w.segment(seq).claim(seq, c)
}

// hasNext reports whether an event that was not claimed before can be claimed. Events of a queue up to
// number after do not count.
func (w *Window) hasNext(after uint64) bool {
	if !w.hasUnclaimed(after) {
		return false
	}
	return !w.alone.Load() || w.sweep().seq == w.next.Load()
}

// hasUnclaimed reports whether there is an event that was not claimed before.
func (w *Window) hasUnclaimed(after uint64) bool {
	return w.next.Load() < w.tail.Load() || w.queue.hasNew(after)
}
