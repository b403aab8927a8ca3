package window

// The methods in this file follow the low mark. They may be called by several goroutines at once.

// A mark is a position up to which everything is settled.
type mark struct {
	seq   uint64
	token string // to resume after it
	bytes uint64 // size of the Data of all events before it
}

// Low returns the number of events before the first one that is not settled, and the token to resume
// after them.
func (w *Window) Low() (events uint64, token string) {
	low := w.sweep()
	return low.seq, low.token
}

// sweep moves low over what is settled and returns it.
func (w *Window) sweep() mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.advance()
}

// advance is sweep for a caller that holds mu.
func (w *Window) advance() mark {
	tail := w.tail.Load()
	for w.low.seq < tail {
		seg := w.segment(w.low.seq)
		from := w.low.seq % segmentSize
		to := w.pass(seg, from, min(segmentSize, from+tail-w.low.seq))
		if to == from {
			break
		}
		w.low.seq += to - from
		w.low.token = seg.slots[to-1].Token
		if to < segmentSize {
			break
		}
		w.spares = append(w.spares, seg)
	}
	if token := w.positionAt(w.low.seq, tail); token != "" {
		w.low.token = token
	}
	return w.low
}

// positionAt returns the last token without an event between the event before seq and the one at
// seq, or "" if there is none. The caller holds mu.
func (w *Window) positionAt(seq, tail uint64) string {
	if seq < tail {
		if r := w.segment(seq).slots[seq%segmentSize].rare; r != nil {
			return r.lead
		}
		return ""
	}
	if q := w.queue; q != nil && q.first != nil && q.first.lead != "" {
		return q.first.lead
	}
	if seq == w.trailing.seq {
		return w.trailing.token
	}
	return ""
}

// pass clears the settled slots of [from, to) in the segment of low, up to the first one that is
// not settled, and returns the index of that one, or to.
func (w *Window) pass(seg *segment, from, to uint64) uint64 {
	base := w.low.seq - from
	for i := from; i < to; i++ {
		if stateIn(seg.states[i].Load(), base+i) != slotSettled {
			return i
		}
		w.low.bytes += uint64(len(seg.slots[i].Data))
		seg.slots[i].clear()
	}
	return to
}

// Watch returns a channel that is closed at the next settle, until stop is called.
func (w *Window) Watch() (changed <-chan struct{}, stop func()) {
	w.watchers.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed, func() { w.watchers.Add(-1) }
}

// scanSize is the number of positions that Settled looks at while it holds mu.
const scanSize = 512

// Settled returns the number of settled events, and the number of events up to the last of them.
func (w *Window) Settled() (events, last uint64) {
	end := w.next.Load() // what was not claimed is not settled
	for seq, done := uint64(0), false; !done; {
		seq, events, last, done = w.scan(seq, end, events, last)
	}
	return events, last
}

// scan counts the settled positions of the next part of [from, stop).
func (w *Window) scan(from, stop, events, last uint64) (next, settled, end uint64, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if low := w.advance().seq; from <= low {
		from, events, last = low, low, low
	}
	to := min(stop, from+scanSize)
	for seq := from; seq < to; seq++ {
		if stateIn(w.state(seq).Load(), seq) == slotSettled {
			events++
			last = seq + 1
		}
	}
	return to, events, last, to == stop
}

// A Backlog describes the events in the window. Oldest is the first of them, if there is any.
type Backlog struct {
	Events, Bytes int
	Oldest        Entry
	Attempt       int    // how many times Oldest was claimed
	Seq           uint64 // position of Oldest
	Waits         bool   // Oldest was refused or given back, and waits for its next attempt
}

// Backlog describes what the window holds.
func (w *Window) Backlog() (b Backlog) {
	w.mu.Lock()
	defer w.mu.Unlock()
	low, tail := w.advance(), w.tail.Load()
	b.Events, b.Bytes = int(tail-low.seq), int(w.tailBytes-low.bytes)
	if q := w.queue; q != nil {
		b.Events, b.Bytes = b.Events+q.events, b.Bytes+int(q.bytes)
		if low.seq >= tail && q.first != nil {
			b.Oldest, b.Seq = q.first.slot.entry(), ^q.first.n // it has no position yet
		}
	}
	if low.seq >= tail {
		return b
	}
	slot := &w.segment(low.seq).slots[low.seq%segmentSize]
	b.Oldest, b.Seq = slot.entry(), low.seq
	if low.seq < w.next.Load() {
		b.Attempt = slot.claims()
		switch stateIn(w.state(low.seq).Load(), low.seq) {
		case slotReady, slotUnclaimed, slotHeld:
			b.Waits = true
		}
	}
	return b
}
