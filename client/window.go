package client

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// window holds the events that were received and are not yet settled, in order. It is the only
// buffer of a subscription. Positions count up from 0:
//
//	[low, next)     delivered, or settled after one that is not
//	[next, tail)    ready to be delivered
//	[tail, staged)  written by the producer, not yet published
//
// The producer is the run loop. Consumers claim a position by compare-and-swap on next and settle
// it by compare-and-swap on the slot's state, so an event costs neither side a lock. The producer
// only writes the event: tail publishes a whole batch. low moves at a sweep, by the producer for
// space and by the checkpoint for the token. It never passes next, and a slot that is claimed and
// not settled is never reused. Slots are in segments, which are allocated and released with the
// backlog.
//
// A token without an event takes no place: the last one before an event is in the event's slot, and
// the last one after all events in trailing.
type window struct {
	owner     *Subscription // Event.sub of the events
	maxEvents uint64
	maxBytes  uint64

	segments []atomic.Pointer[segment] // position p is in segments[p/segmentSize%len]; len is a power of two

	_    cacheLine
	tail atomic.Uint64

	// Used by the producer only.
	_           cacheLine
	staged      uint64
	stagedBytes uint64   // of Data in [0, staged)
	staging     *segment // the segment of staged, unless staged starts a new one
	lead        string   // the last token staged after the last event, "" if none
	unseen      int      // events and tokens staged since the last publish
	swept       mark     // low at the last sweep
	forgotten   uint64   // segments that forget has handled
	publishes   uint64

	_    cacheLine
	next atomic.Uint64
	_    cacheLine

	// Rarely written and often read.
	starved  atomic.Int32  // consumers that wait for an event
	dozing   atomic.Int32  // consumers that wait for doze and then check again
	busy     atomic.Bool   // the feed is fast: consumers doze
	returns  atomic.Int32  // events in returned
	watchers atomic.Int32  // callers that wait for changed
	full     atomic.Bool   // the producer waits for space
	ready    chan struct{} // one token: there may be something to claim
	space    chan struct{} // one token: low may be able to move
	_        cacheLine

	mu       sync.Mutex // held for a few instructions, never across a wait
	low      mark
	trailing mark          // a token without an event, and the position where it was published
	spares   []*segment    // settled segments to reuse
	returned returns       // events that must be delivered again
	pressed  chan struct{} // closed while the producer waits for space
	changed  chan struct{} // closed and replaced at a settle while there are watchers
}

// A mark is a position up to which everything is settled.
type mark struct {
	seq    uint64
	token  string // to resume after it
	events uint64 // number of events before it
	bytes  uint64 // size of their Data
}

// spareLife is the number of publishes after which one spare segment is released.
const spareLife = 16

func newWindow(owner *Subscription, maxEvents, maxBytes int) *window {
	// One segment more than maxEvents need, because the ends are rarely aligned. A power of two
	// makes finding a segment cheap.
	n := 1 << bits.Len(uint((maxEvents+segmentSize-1)/segmentSize))
	return &window{
		owner:     owner,
		maxEvents: uint64(maxEvents),
		maxBytes:  uint64(maxBytes),
		returned:  newReturns(),
		segments:  make([]atomic.Pointer[segment], n),
		ready:     make(chan struct{}, 1),
		space:     make(chan struct{}, 1),
		pressed:   make(chan struct{}),
		changed:   make(chan struct{}),
	}
}

func (w *window) segment(seq uint64) *atomic.Pointer[segment] {
	return &w.segments[seq/segmentSize&uint64(len(w.segments)-1)]
}

// press marks that the producer waits for space, and release that it no longer does.
func (w *window) press() {
	w.full.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.pressed)
}

func (w *window) release() {
	w.full.Store(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pressed = make(chan struct{})
}

// pressure returns a channel that is closed while the producer waits for space.
func (w *window) pressure() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pressed
}

// fits reports whether the producer may stage size more bytes. Called by the producer.
func (w *window) fits(size int) bool {
	if w.hasRoom(size) {
		return true
	}
	w.swept = w.sweep()
	return w.hasRoom(size)
}

// isHalfFree reports whether at most half of the events and bytes allowed are held. Called by the
// producer.
func (w *window) isHalfFree() bool {
	w.swept = w.sweep()
	return w.staged-w.swept.seq <= w.maxEvents/2 && w.stagedBytes-w.swept.bytes <= w.maxBytes/2
}

func (w *window) hasRoom(size int) bool {
	held := w.staged - w.swept.seq
	return held == 0 || held < w.maxEvents && w.stagedBytes-w.swept.bytes+uint64(size) <= w.maxBytes
}

// stage adds an event. Called by the producer, after fits.
func (w *window) stage(ev *Event) {
	w.stagingSegment().write(w.staged%segmentSize, ev, w.lead)
	w.lead = ""
	w.staged++
	w.unseen++
	w.stagedBytes += uint64(len(ev.Data))
}

// stagePosition adds a token, not empty, without an event. It is settled as soon as everything
// before it is, and replaces the previous one without an event. Called by the producer.
func (w *window) stagePosition(token string) {
	w.lead = token
	w.unseen++
}

// stagingSegment returns the segment that the next event is written to.
func (w *window) stagingSegment() *segment {
	if w.staged%segmentSize == 0 {
		w.staging = w.newSegment()
		w.segment(w.staged).Store(w.staging)
	}
	return w.staging
}

// state returns the word of a position in [low, staged).
func (w *window) state(seq uint64) *atomic.Uint64 {
	return &w.segment(seq).Load().states[seq%segmentSize]
}

func (w *window) newSegment() *segment {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.spares) - 1
	if last < 0 {
		return new(segment)
	}
	seg := w.spares[last]
	w.spares[last] = nil
	w.spares = w.spares[:last]
	return seg
}

// dropSpare releases a spare segment, so that the window shrinks after a backlog.
func (w *window) dropSpare() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := len(w.spares) - 1; last > 0 {
		w.spares[last] = nil
		w.spares = w.spares[:last]
	}
}

// setBusy sets whether consumers that find no event doze. Called by the producer.
func (w *window) setBusy(busy bool) {
	if busy != w.busy.Load() {
		w.busy.Store(busy)
	}
}

// publish makes what was staged visible to consumers. Called by the producer.
func (w *window) publish() {
	if w.unseen == 0 {
		return
	}
	w.unseen = 0
	if w.tail.Load() != w.staged {
		w.tail.Store(w.staged)
		if w.starved.Load() > 0 || w.dozing.Load() > 0 && w.staged-w.next.Load() >= w.maxEvents/2 {
			signal(w.ready)
		}
	}
	w.mu.Lock()
	if w.lead != "" {
		w.trailing = mark{seq: w.staged, token: w.lead}
	}
	w.swept = w.advance()
	w.mu.Unlock()
	w.forget()
	if w.publishes++; w.publishes%spareLife == 0 {
		w.dropSpare()
	}
}

// rest is called by a consumer that has dozed. If no event has arrived, consumers wait to be woken
// from then on.
func (w *window) rest() {
	if w.next.Load() >= w.tail.Load() {
		w.busy.Store(false)
	}
}

// claim takes the next event for a consumer. It returns false if none is available.
func (w *window) claim(ev *Event) bool {
	if w.returns.Load() > 0 && w.claimReturned(ev, time.Now()) {
		w.passOn()
		return true
	}
	for {
		seq := w.next.Load()
		if seq >= w.tail.Load() {
			return false
		}
		if !w.next.CompareAndSwap(seq, seq+1) {
			continue
		}
		w.segment(seq).Load().read(seq%segmentSize, ev)
		ev.sub, ev.seq = w.owner, seq
		w.passOn()
		return true
	}
}

// passOn wakes another consumer if there may be more events: publish wakes only one.
func (w *window) passOn() {
	if w.starved.Load() > 0 && (w.next.Load() < w.tail.Load() || w.returns.Load() > 0) {
		signal(w.ready)
	}
}

// claimReturned takes the oldest returned event that is due.
func (w *window) claimReturned(ev *Event, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	seq, ok := w.returned.take(now)
	if !ok {
		return false
	}
	w.returns.Add(-1)
	seg, i := w.segment(seq).Load(), seq%segmentSize
	seg.countAgain(i)
	seg.read(i, ev)
	ev.sub, ev.seq = w.owner, seq
	ev.state.Store(stateOf(ev.seq, ev.try, slotHanded))
	return true
}

// giveBack makes an event that was delivered available again at due. It returns false if ev is a
// copy from an earlier attempt or is already settled or returned.
func (w *window) giveBack(ev *Event, due time.Time) bool {
	w.mu.Lock()
	word := ev.state.Load()
	ok := ev.counts(word) && ev.state.CompareAndSwap(word, stateOf(ev.seq, ev.try, slotReady))
	if ok {
		w.returned.add(ev.seq, due)
		w.returns.Add(1)
	}
	w.mu.Unlock()
	if ok {
		signal(w.ready)
	}
	return ok
}

// nextReturn returns when the earliest returned event is due. ok is false if there is none.
func (w *window) nextReturn() (due time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.returned.next()
}

// settle marks an event as done. It returns false if ev is a copy from an earlier attempt or is
// already settled or returned.
func (w *window) settle(ev *Event) bool {
	word := ev.state.Load()
	if !ev.counts(word) || !ev.state.CompareAndSwap(word, stateOf(ev.seq, ev.try, slotSettled)) {
		return false
	}
	w.moved()
	return true
}

// moved notifies the producer and the watchers that low may be able to move.
func (w *window) moved() {
	if w.full.Load() {
		signal(w.space)
	}
	if w.watchers.Load() > 0 {
		w.mu.Lock()
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
	}
}

// sweep moves low over what is settled and returns it.
func (w *window) sweep() mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.advance()
}

// advance is sweep for a caller that holds mu.
func (w *window) advance() mark {
	tail := w.tail.Load()
	for w.low.seq < tail {
		seg := w.segment(w.low.seq).Load()
		from := w.low.seq % segmentSize
		to := w.pass(seg, from, min(segmentSize, from+tail-w.low.seq))
		if to == from {
			break
		}
		w.low.seq += to - from
		w.low.token = seg.slots[to-1].token
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
func (w *window) positionAt(seq, tail uint64) string {
	if seq < tail {
		if seg, i := w.segment(seq).Load(), seq%segmentSize; seg.rare[i] {
			return seg.slots[i].lead
		}
		return ""
	}
	if seq == w.trailing.seq {
		return w.trailing.token
	}
	return ""
}

// pass clears the settled slots of [from, to) in the segment of low, up to the first one that is
// not settled, and returns the index of that one, or to.
func (w *window) pass(seg *segment, from, to uint64) uint64 {
	base := w.low.seq - from
	for i := from; i < to; i++ {
		if stateIn(seg.states[i].Load(), base+i) != slotSettled {
			return i
		}
		w.low.events++
		w.low.bytes += uint64(seg.sizes[i])
		seg.clear(i)
	}
	return to
}

// forget releases segments that low has passed. It releases a cache line of pointers at a time, when
// consumers read other lines. Called by the producer.
func (w *window) forget() {
	const atOnce = 8
	low, n := w.swept.seq/segmentSize, uint64(len(w.segments))
	if low < w.forgotten+atOnce {
		return
	}
	for ; w.forgotten < low; w.forgotten++ {
		if w.forgotten+n > w.staged/segmentSize { // otherwise its place is in use again
			w.segments[w.forgotten&(n-1)].Store(nil)
		}
	}
}

// settledTo returns the position after the last settled event, even if one before it is not settled.
func (w *window) settledTo() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, tail := w.low.seq, w.tail.Load()
	for seq := last; seq < tail; seq++ {
		if stateIn(w.state(seq).Load(), seq) == slotSettled {
			last = seq + 1
		}
	}
	return last
}

// watch returns a channel that is closed at the next settle, until stop is called.
func (w *window) watch() (changed <-chan struct{}, stop func()) {
	w.watchers.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed, func() { w.watchers.Add(-1) }
}

// backlog describes what the window holds.
type backlog struct {
	events, bytes int
	oldest        Event  // ID, Token, Received and Attempt (0: not delivered) of the first
	acked         uint64 // since the window was created
}

// oldest returns the first event that is held and the number of events held.
func (w *window) oldest() (ev Event, held int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	low, tail := w.advance().seq, w.tail.Load()
	if low < tail {
		w.peek(low, &ev)
	}
	return ev, int(tail - low)
}

// peek sets ev to the event at seq, which is in [low, tail). The caller holds mu.
func (w *window) peek(seq uint64, ev *Event) {
	w.segment(seq).Load().read(seq%segmentSize, ev)
	if seq >= w.next.Load() {
		ev.Attempt = 0
	}
}

func (w *window) backlog() backlog {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
	b := backlog{acked: w.low.events}
	for seq, tail := w.low.seq, w.tail.Load(); seq < tail; seq++ {
		seg, i := w.segment(seq).Load(), seq%segmentSize
		if b.events++; b.events == 1 {
			w.peek(seq, &b.oldest)
		}
		b.bytes += seg.sizes[i]
		if stateIn(seg.states[i].Load(), seq) == slotSettled {
			b.acked++
		}
	}
	return b
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
