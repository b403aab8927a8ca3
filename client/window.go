package client

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// window holds the events that were received and are not yet settled, in order. It is
// the only buffer of a subscription. Positions count up from 0:
//
//	[low, next)     handed out, or settled behind one that is not
//	[next, tail)    ready to be handed out
//	[tail, staged)  written by the producer, not yet published
//
// The producer is the run loop. Consumers claim a position by compare-and-swap on next
// and settle it by one on the slot's state, so an event costs neither side a lock.
// low moves when somebody sweeps: the producer for space, the checkpoint for the
// token. Slots live in segments that come and go with the backlog.
type window struct {
	maxEvents uint64
	maxBytes  uint64

	segments []atomic.Pointer[segment] // position p is in segments[p/segmentSize%len]; len is a power of two

	_    cacheLine
	tail atomic.Uint64

	// The producer's own.
	_           cacheLine
	staged      uint64
	stagedBytes uint64 // of Data in [0, staged)
	swept       mark   // as of the last sweep
	publishes   uint64

	_    cacheLine
	next atomic.Uint64
	_    cacheLine

	// Seldom written and often looked at.
	starved  atomic.Int32  // consumers that wait for an event
	returns  atomic.Int32  // len(returned)
	watchers atomic.Int32  // who waits for changed
	full     atomic.Bool   // the producer waits for space
	ready    chan struct{} // one token: there may be something to claim
	space    chan struct{} // one token: low may be able to move
	_        cacheLine

	mu       sync.Mutex // held for a few instructions, never across a wait
	low      mark
	spares   []*segment    // to use again, a few
	returned []returned    // handed out before, to be handed out again
	pressed  chan struct{} // closed while the producer waits for space
	changed  chan struct{} // closed at an ack while there are watchers
}

// A cacheLine keeps apart what is written by different goroutines all the time: a
// processor fetches a whole line again when any part of it was written by another.
type cacheLine [64]byte

// A mark is a position up to which everything is settled.
type mark struct {
	seq    uint64
	token  string // where to resume after it
	events uint64 // real events before it
	bytes  uint64 // of their Data
}

const (
	segmentSize = 16
	spareLife   = 16 // publishes; one spare segment is given up in so many
)

type segment struct{ slots [segmentSize]slot }

type slot struct {
	state atomic.Uint64 // see stateOf
	event bool          // false: only a position, settled from the start
	ev    Event
}

// The states of a slot.
const (
	slotReady uint64 = iota + 1
	slotHanded
	slotSettled
)

// stateOf packs position, attempt and state into one word. The first two make an Ack
// that comes late do nothing: by a copy of the event from before it was handed out
// again, or after its slot was used again. 48 bits of position last for nine years at
// a million events a second.
func stateOf(seq uint64, attempt int, state uint64) uint64 {
	return seq<<16 | uint64(attempt)&0x3fff<<2 | state
}

func isSettled(word, seq uint64) bool { return word>>16 == seq&(1<<48-1) && word&3 == slotSettled }

type returned struct {
	ev  Event // as it was handed out
	due time.Time
}

func newWindow(maxEvents, maxBytes int) *window {
	// One segment more than fits, because the ends are seldom aligned. A power of two
	// makes finding a segment cheap.
	n := 1 << bits.Len(uint((maxEvents+segmentSize-1)/segmentSize))
	return &window{
		maxEvents: uint64(maxEvents),
		maxBytes:  uint64(maxBytes),
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

// press says that the producer waits for space, and release that it no longer does.
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

// isHalfFree reports whether no more than half of what may be held is held. Called by the
// producer.
func (w *window) isHalfFree() bool {
	w.swept = w.sweep()
	return w.staged-w.swept.seq <= w.maxEvents/2 && w.stagedBytes-w.swept.bytes <= w.maxBytes/2
}

func (w *window) hasRoom(size int) bool {
	held := w.staged - w.swept.seq
	return held == 0 || held < w.maxEvents && w.stagedBytes-w.swept.bytes+uint64(size) <= w.maxBytes
}

// place returns where the next event is to be written, to be staged then or not. Called
// by the producer.
func (w *window) place() *Event {
	return &w.nextSlot().ev
}

func (w *window) nextSlot() *slot {
	p := w.segment(w.staged)
	seg := p.Load()
	if seg == nil {
		seg = w.newSegment()
		p.Store(seg)
	}
	return &seg.slots[w.staged%segmentSize]
}

// stage adds the event that was written at its place. With event false only its Token
// counts: the position is settled from the start. Called by the producer, after fits.
func (w *window) stage(event bool) {
	s, seq := w.nextSlot(), w.staged
	s.event = event
	s.ev.slot, s.ev.seq, s.ev.try, s.ev.Attempt = s, seq, 1, 1
	state := slotReady
	if !event {
		state = slotSettled
	}
	s.state.Store(stateOf(seq, 1, state))
	w.staged++
	w.stagedBytes += uint64(len(s.ev.Data))
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

// dropSpare lets the window become small again after a backlog.
func (w *window) dropSpare() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := len(w.spares) - 1; last > 0 {
		w.spares[last] = nil
		w.spares = w.spares[:last]
	}
}

// unpublished returns how many positions are staged for the next publish.
func (w *window) unpublished() uint64 { return w.staged - w.tail.Load() }

// publish lets consumers see what was staged. Called by the producer.
func (w *window) publish() {
	if w.tail.Load() == w.staged {
		return
	}
	w.tail.Store(w.staged)
	if w.starved.Load() > 0 {
		signal(w.ready)
	}
	w.swept = w.sweep()
	if w.publishes++; w.publishes%spareLife == 0 {
		w.dropSpare()
	}
}

// claim takes the next event for a consumer; it returns false if there is none right now.
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
		// The slot may hold a mere position, which low can have passed already: then
		// the segment is gone or in use again, and the swap fails.
		seg := w.segment(seq).Load()
		if seg == nil {
			continue
		}
		s := &seg.slots[seq%segmentSize]
		if s.state.CompareAndSwap(stateOf(seq, 1, slotReady), stateOf(seq, 1, slotHanded)) {
			*ev = s.ev
			w.passOn()
			return true
		}
	}
}

// passOn wakes a further consumer while there may be more: publish wakes only one.
func (w *window) passOn() {
	if w.starved.Load() > 0 && (w.next.Load() < w.tail.Load() || w.returns.Load() > 0) {
		signal(w.ready)
	}
}

// claimReturned takes the oldest returned event that is due.
func (w *window) claimReturned(ev *Event, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	best := -1
	for i, r := range w.returned {
		if !r.due.After(now) && (best < 0 || r.ev.seq < w.returned[best].ev.seq) {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	*ev = w.returned[best].ev
	ev.try++
	ev.Attempt = ev.try
	ev.slot.state.Store(stateOf(ev.seq, ev.try, slotHanded))
	w.returned = append(w.returned[:best], w.returned[best+1:]...)
	w.returns.Store(int32(len(w.returned)))
	return true
}

// giveBack makes an event that was handed out available again at due. It reports false
// if this copy of the event is no longer the one that counts.
func (w *window) giveBack(ev Event, due time.Time) bool {
	w.mu.Lock()
	ok := ev.slot.state.CompareAndSwap(
		stateOf(ev.seq, ev.try, slotHanded), stateOf(ev.seq, ev.try, slotReady))
	if ok {
		w.returned = append(w.returned, returned{ev, due})
		w.returns.Store(int32(len(w.returned)))
	}
	w.mu.Unlock()
	if ok {
		signal(w.ready)
	}
	return ok
}

// nextReturn returns when the earliest returned event is due; ok is false without one.
func (w *window) nextReturn() (due time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.returned {
		if !ok || r.due.Before(due) {
			due, ok = r.due, true
		}
	}
	return due, ok
}

// settle marks an event as done. It reports false if this copy of the event is no
// longer the one that counts.
func (w *window) settle(ev Event) bool {
	if !ev.slot.state.CompareAndSwap(
		stateOf(ev.seq, ev.try, slotHanded), stateOf(ev.seq, ev.try, slotSettled)) {
		return false
	}
	if w.full.Load() {
		signal(w.space)
	}
	if w.watchers.Load() > 0 {
		w.mu.Lock()
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
	}
	return true
}

// sweep moves low over what is settled and returns where it is then.
func (w *window) sweep() mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last *slot
	for tail := w.tail.Load(); w.low.seq < tail; {
		p := w.segment(w.low.seq)
		seg := p.Load()
		s := &seg.slots[w.low.seq%segmentSize]
		if !isSettled(s.state.Load(), w.low.seq) {
			break
		}
		if s.event {
			w.low.events++
		}
		w.low.bytes += uint64(len(s.ev.Data))
		s.ev.release()
		last = s
		w.low.seq++
		if w.low.seq%segmentSize == 0 {
			p.Store(nil)
			w.spares = append(w.spares, seg)
		}
	}
	if last != nil {
		w.low.token = last.ev.Token
	}
	return w.low
}

// release lets go of what can be large; the rest is overwritten by the next event.
func (e *Event) release() {
	e.Data = nil
	if e.Header != nil {
		e.Header = nil
	}
	if e.settle != nil {
		e.settle = nil
	}
}

// settledTo returns the position behind the last settled event, whatever is before it.
// Mere positions do not count: nobody has acknowledged them.
func (w *window) settledTo() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, tail := w.low.seq, w.tail.Load()
	for seq := last; seq < tail; seq++ {
		s := &w.segment(seq).Load().slots[seq%segmentSize]
		if s.event && isSettled(s.state.Load(), seq) {
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
	oldest        time.Time // when the first of the events was received
	acked         uint64    // since the window was made
}

func (w *window) backlog() backlog {
	w.sweep()
	w.mu.Lock()
	defer w.mu.Unlock()
	b := backlog{acked: w.low.events}
	for seq, tail := w.low.seq, w.tail.Load(); seq < tail; seq++ {
		s := &w.segment(seq).Load().slots[seq%segmentSize]
		if !s.event {
			continue
		}
		if b.events++; b.events == 1 {
			b.oldest = s.ev.Received
		}
		b.bytes += len(s.ev.Data)
		if isSettled(s.state.Load(), seq) {
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
