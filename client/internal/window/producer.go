package window

import "time"

// The methods in this file are the producer's. They are called by one goroutine at a time, except
// for Press and End.

// spareLife is the number of publishes after which one spare segment is released.
const spareLife = 16

// Fits reports whether an event with size bytes of data may be staged. One event always fits into an
// empty window.
func (w *Window) Fits(size int) bool {
	if w.queue != nil {
		return w.fitsQueue(size)
	}
	if w.hasRoom(size) {
		return true
	}
	w.swept = w.sweep()
	return w.hasRoom(size)
}

// IsHalfFree reports whether at most half of the events and bytes allowed are held.
func (w *Window) IsHalfFree() bool {
	events, bytes := w.load()
	return events <= w.maxEvents/2 && bytes <= w.maxBytes/2
}

// IsSettled reports whether every event that was staged is settled.
func (w *Window) IsSettled() bool {
	events, _ := w.load()
	return events == 0
}

// load returns the number and the bytes of the events held.
func (w *Window) load() (events, bytes uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swept = w.advance()
	events, bytes = w.staged-w.swept.seq, w.stagedBytes-w.swept.bytes
	if q := w.queue; q != nil {
		events, bytes = events+uint64(q.events), bytes+q.bytes
	}
	return events, bytes
}

func (w *Window) hasRoom(size int) bool {
	held := w.staged - w.swept.seq
	return held == 0 || held < w.maxEvents && w.stagedBytes-w.swept.bytes+uint64(size) <= w.maxBytes
}

// Press marks that the producer waits for space, until release is called. space receives when there
// may be more than before. At most one caller presses at a time; the producer may be used meanwhile.
func (w *Window) Press() (space <-chan struct{}, release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.space == nil {
		w.space = make(chan struct{}, 1)
	}
	if w.pressed != nil && !w.IsCrowded() {
		close(w.pressed)
	}
	w.full.Store(true)
	return w.space, w.release
}

func (w *Window) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.full.Store(false)
	if !w.crowded.Load() {
		w.pressed = nil
	}
}

// Crowd sets whether the producer has no space and drops events, so that a batch that waits for more
// must not wait any longer.
func (w *Window) Crowd(crowded bool) {
	if crowded == w.crowded.Load() { // which only the producer changes
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.full.Load() {
		if w.pressed != nil && crowded {
			close(w.pressed)
		} else {
			w.pressed = nil
		}
	}
	w.crowded.Store(crowded)
}

// Stage adds an event, after Fits.
func (w *Window) Stage(e *Entry) {
	w.stagingSegment().slots[w.staged%segmentSize].write(e, w.lead)
	w.lead = ""
	w.staged++
	w.unpublished++
	w.stagedBytes += uint64(len(e.Data))
}

// StagePosition adds a token, not empty, without an event. It is settled as soon as everything
// before it is, and replaces the previous one without an event.
func (w *Window) StagePosition(token string) {
	if w.queue != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	w.lead = token
	w.unpublished++
}

// Unpublished returns the number of events and tokens that were staged and not published.
func (w *Window) Unpublished() int { return w.unpublished }

// stagingSegment returns the segment that the next event is written to.
func (w *Window) stagingSegment() *segment {
	if w.staged%segmentSize == 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.nextSegment()
	}
	return w.staging
}

// stagingSegmentLocked is stagingSegment for a caller that holds mu.
func (w *Window) stagingSegmentLocked() *segment {
	if w.staged%segmentSize == 0 {
		return w.nextSegment()
	}
	return w.staging
}

// nextSegment starts a segment. The caller holds mu.
func (w *Window) nextSegment() *segment {
	w.staging = w.newSegment()
	w.grow()
	w.directory.Load().at(w.staged).Store(w.staging)
	return w.staging
}

// grow makes room in the directory for the segment of staged. A consumer may use the old directory
// once more: it does not change any more, and holds every position published until now.
func (w *Window) grow() {
	old := w.directory.Load()
	first, next := w.swept.seq/segmentSize, w.staged/segmentSize
	n := uint64(len(*old))
	if next-first < n {
		return
	}
	d := newDirectory(2 * n)
	for i := first; i < next; i++ {
		d.at(i * segmentSize).Store(old.at(i * segmentSize).Load())
	}
	w.directory.Store(d)
}

// newSegment returns a segment to write to: a settled one, if there is any. The caller holds mu.
func (w *Window) newSegment() *segment {
	w.swept = w.advance()
	last := len(w.spares) - 1
	if last < 0 {
		return new(segment)
	}
	seg := w.spares[last]
	w.spares[last] = nil
	w.spares = w.spares[:last]
	return seg
}

// releaseSpare releases a spare segment now and then, so that the window shrinks after a backlog. The
// caller holds mu.
func (w *Window) releaseSpare() {
	if w.publishes++; w.publishes%spareLife != 0 {
		return
	}
	if last := len(w.spares) - 1; last > 0 {
		w.spares[last] = nil
		w.spares = w.spares[:last]
	}
}

// Publish makes what was staged visible to consumers. received is the number of events received
// until now, including those that were not staged: consumers of a fast feed poll instead of being
// woken, unless the event is urgent.
func (w *Window) Publish(received uint64, now time.Time, urgent bool) {
	w.setBusy(!urgent && w.pace.isFast(received, now))
	w.publish()
}

// setBusy sets whether consumers that find no event poll.
func (w *Window) setBusy(busy bool) {
	if busy != w.busy.Load() {
		w.busy.Store(busy)
	}
}

func (w *Window) publish() {
	if w.queue != nil {
		w.publishQueue()
		return
	}
	if w.unpublished == 0 {
		return
	}
	w.unpublished = 0
	if w.tail.Load() != w.staged {
		w.tail.Store(w.staged)
		if w.starved.Load() > 0 || w.polling.Load() > 0 && w.staged-w.next.Load() >= w.maxEvents/2 {
			signal(w.ready)
		}
	}
	w.mu.Lock()
	w.tailBytes = w.stagedBytes
	if w.lead != "" {
		w.trailing = mark{seq: w.staged, token: w.lead}
	}
	w.swept = w.advance()
	w.releaseSpare()
	w.mu.Unlock()
	w.forget()
}

// forget releases segments that low has passed. It releases a cache line of pointers at a time, when
// consumers read other lines.
func (w *Window) forget() {
	const atOnce = 8
	d := w.directory.Load()
	low, n := w.swept.seq/segmentSize, uint64(len(*d))
	if low < w.forgotten+atOnce {
		return
	}
	for ; w.forgotten < low; w.forgotten++ {
		if w.forgotten+n > w.staged/segmentSize { // otherwise its place is in use again
			d.at(w.forgotten * segmentSize).Store(nil)
		}
	}
}

// End marks that nothing more is staged. It is called once, after the last Publish.
func (w *Window) End() { close(w.ended) }
