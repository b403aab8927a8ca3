package window

import (
	"cmp"
	"sync/atomic"

	"github.com/steadfeed/steadfeed/transport"
)

// A waitQueue holds the events of a window that no consumer has claimed, if they may be dropped or
// replaced there. Such an event gets its position only when it is claimed. So a dropped event leaves
// nothing behind, however long an event before it is in hand, and next, tail and staged are equal.
//
// An event may be claimed before an earlier one (ClaimAt), or hold data that is newer than its place
// (Replace). The position to resume after it is then not its token: the slot has the one that is
// safe there, and the token becomes a token without an event at the place where it was received.
//
// mu of the window guards the queue, and what only the producer uses otherwise.
type waitQueue struct {
	first, last *waiting
	spare       *waiting // removed, to reuse
	spares      int
	byKey       map[string]*waiting // the event that a newer one of its key replaces
	count       uint64              // number of the last event
	events      int
	bytes       uint64 // of their Data
	base        string // the token to resume after what was claimed in order

	hidden int // events that are not published

	// Read without mu.
	published atomic.Uint64 // number of the last event that consumers may claim
	ready     atomic.Int32  // events that they may claim
}

// waiting is an event in a queue.
type waiting struct {
	slot       Slot
	n          uint64 // the events of a queue are numbered from 1; 0 if it has left
	version    uint64 // grows when the event is replaced
	key        string
	before     string // position before the event, which may be after a loss
	lead       string // token of a position without an event just before it
	resume     string // the token to resume after its place
	prev, next *waiting

	owner any // of noted; see Place
	noted string
}

const maxSpareWaiting = 64

// UseQueue makes events wait in a queue: they are added by Enqueue or Replace, not by Stage. token is
// the position of the window. It is called once, before anything else.
func (w *Window) UseQueue(token string) {
	w.queue = &waitQueue{base: token, byKey: make(map[string]*waiting)}
}

// StartQueue changes the position of the window before the first event.
func (w *Window) StartQueue(token string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue.base = token
}

// HasQueue reports whether events wait in a queue.
func (w *Window) HasQueue() bool { return w.queue != nil }

// Enqueue adds an event, after Fits. before is the position before it. If key is not empty, a later
// event of the key may replace it.
func (w *Window) Enqueue(e *Entry, key, before string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queue
	x := q.add()
	x.slot.write(e, "")
	x.key, x.before, x.lead, x.resume = key, before, w.lead, e.Token
	w.lead = ""
	w.unpublished++
	q.bytes += uint64(len(e.Data))
	if e.Gap != nil {
		clear(q.byKey) // an event after the loss must not be delivered before it is reported
	}
	if key != "" {
		q.byKey[key] = x
	}
}

// Replace puts an event into the place of an older one with its key, and returns that one. It returns
// false if none waits that may be replaced, or if there is no space for the difference. The event has
// neither a Gap nor CaughtUp, and no gap is pending.
func (w *Window) Replace(e *Entry, key string) (old Slot, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queue
	x := q.byKey[key]
	if x == nil {
		return Slot{}, false
	}
	low, more := w.advance(), uint64(len(e.Data))
	less := uint64(len(x.slot.Data))
	if alone := w.staged == low.seq && q.events == 1; !alone && more > less && w.bytesIn(low)-less+more > w.maxBytes {
		return Slot{}, false
	}
	old = x.slot
	x.slot = Slot{}
	x.slot.write(e, "")
	r := x.slot.needRare()
	r.Replaced = 1
	if old.rare != nil {
		r.Gap, r.CaughtUp = old.rare.Gap, old.rare.CaughtUp
		r.Replaced += old.rare.Replaced
	}
	x.version++
	x.owner = nil
	q.bytes += more - less
	if e.Token != "" {
		w.lead = e.Token
	}
	w.unpublished++
	return old, true
}

// A Dropped is the result of DropOldest.
type Dropped struct {
	Slot     Slot
	Loss     *transport.Gap // the event was the only one: its loss is before the next event
	CaughtUp bool           // the same for its CaughtUp
	IsNew    bool           // the loss is not a part of one before it
	From     string         // position before the loss
}

// DropOldest drops the oldest event that waits, if that leads to space for size bytes. The loss is
// reported by the next event. It returns false if there is space, or if the events that wait are not
// what fills the window.
func (w *Window) DropOldest(size int) (d Dropped, ok bool) {
	d, ok = w.dropOldest(size)
	if ok {
		w.settled() // what is before a mark may be complete
	}
	return d, ok
}

func (w *Window) dropOldest(size int) (d Dropped, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q, low := w.queue, w.advance()
	if w.hasRoomAfter(low, size) || q.events == 0 || !w.hasRoomWithout(low, size) {
		return d, false
	}
	x := q.first
	d.Slot, d.IsNew, d.From = x.slot, true, x.before
	loss := &transport.Gap{Reason: transport.GapOverflow, From: x.before, Missed: 1}
	if r := x.slot.rare; r != nil {
		d.IsNew, d.CaughtUp = r.Gap == nil, r.CaughtUp
		loss = JoinGaps(r.Gap, loss)
	}
	// The checkpoint must not pass a loss before it is reported.
	if y := x.next; y != nil {
		y.lead, y.before = x.lead, x.before
		r := y.slot.needRare()
		r.Gap = JoinGaps(loss, r.Gap)
		r.Gap.To = y.slot.Token
		r.CaughtUp, d.CaughtUp = r.CaughtUp || d.CaughtUp, false
	} else {
		w.lead, d.Loss = x.lead, loss
	}
	w.leave(x)
	return d, true
}

// JoinGaps returns the gap of an event that follows two losses, either of which may be nil. An overflow
// is known to be no more than its number, so another reason is kept.
func JoinGaps(older, newer *transport.Gap) *transport.Gap {
	if older == nil || newer == nil {
		return cmp.Or(older, newer)
	}
	g := *older
	if g.Reason == transport.GapOverflow {
		g = *newer
		g.From = older.From
	}
	g.To, g.Missed = newer.To, older.Missed+newer.Missed
	return &g
}

// hasRoomAfter reports whether an event of size bytes fits, given low. The caller holds mu.
func (w *Window) hasRoomAfter(low mark, size int) bool {
	held := w.staged - low.seq + uint64(w.queue.events)
	return held == 0 || held < w.maxEvents && w.bytesIn(low)+uint64(size) <= w.maxBytes
}

// hasRoomWithout is hasRoomAfter if nothing waited.
func (w *Window) hasRoomWithout(low mark, size int) bool {
	held := w.staged - low.seq
	return held == 0 || held < w.maxEvents && w.stagedBytes-low.bytes+uint64(size) <= w.maxBytes
}

// bytesIn returns the bytes held, given low. The caller holds mu.
func (w *Window) bytesIn(low mark) uint64 { return w.stagedBytes - low.bytes + w.queue.bytes }

// fitsQueue is Fits with a queue.
func (w *Window) fitsQueue(size int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hasRoomAfter(w.advance(), size)
}

// publishQueue is publish with a queue.
func (w *Window) publishQueue() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unpublished == 0 {
		return
	}
	w.unpublished = 0
	q := w.queue
	fresh := q.hidden > 0
	q.hidden = 0
	q.published.Store(q.count)
	q.ready.Store(int32(q.events))
	if fresh && (w.starved.Load() > 0 || w.polling.Load() > 0 && uint64(q.events) >= w.maxEvents/2) {
		w.wake()
	}
	w.trail()
	w.swept = w.advance()
	w.releaseSpare()
}

// trail makes the token after all events count, unless events wait before it. The caller holds mu.
func (w *Window) trail() {
	if w.lead != "" && w.queue.events == 0 {
		w.trailing = mark{seq: w.staged, token: w.lead}
	}
}

// claimFirst claims the event that waits longest. The caller holds mu.
func (w *Window) claimFirst(c *Claim) *Slot {
	if q := w.queue; q.first != nil && q.first.n <= q.published.Load() {
		return w.claimWaiting(c, q.first)
	}
	return nil
}

// claimWaiting gives an event its position and claims it. The caller holds mu.
func (w *Window) claimWaiting(c *Claim, x *waiting) *Slot {
	q := w.queue
	seg, i := w.stagingSegmentLocked(), w.staged%segmentSize
	slot := &seg.slots[i]
	*slot = x.slot
	lead, resume := x.lead, x.resume
	if x == q.first {
		q.base = resume
	} else { // there are events before it that low must not pass
		lead, resume = "", q.base
		after := &w.lead
		if x.next != nil {
			after = &x.next.lead
		}
		if *after == "" {
			*after = x.resume
		}
	}
	if lead != "" || resume != slot.Token {
		r := slot.needRare()
		r.lead, r.resume, r.moved = lead, resume, true
	}
	w.stagedBytes += uint64(len(slot.Data))
	w.tailBytes = w.stagedBytes
	seq := w.staged
	w.staged++
	w.tail.Store(w.staged)
	w.next.Store(w.staged)
	w.leave(x)
	w.trail()
	w.forget()
	return seg.claim(seq, c)
}

// add appends an event. The caller holds mu.
func (q *waitQueue) add() *waiting {
	x := q.spare
	if x != nil {
		q.spare = x.next
		q.spares--
	} else {
		x = new(waiting)
	}
	q.count++
	q.events++
	q.hidden++
	*x = waiting{n: q.count, prev: q.last}
	if q.last != nil {
		q.last.next = x
	} else {
		q.first = x
	}
	q.last = x
	return x
}

// leave removes an event that was claimed or dropped. The caller holds mu.
func (w *Window) leave(x *waiting) {
	q := w.queue
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		q.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		q.last = x.prev
	}
	if q.byKey[x.key] == x {
		delete(q.byKey, x.key)
	}
	q.events--
	q.bytes -= uint64(len(x.slot.Data))
	if x.n > q.published.Load() {
		q.hidden--
	} else {
		q.ready.Add(-1)
	}
	w.unmark(x.n)
	*x = waiting{}
	if q.spares < maxSpareWaiting {
		x.next, q.spare = q.spare, x
		q.spares++
	}
}

// hasNew reports whether an event waits, and one after number after.
func (q *waitQueue) hasNew(after uint64) bool {
	return q != nil && q.ready.Load() > 0 && q.published.Load() > after
}
