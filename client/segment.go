package client

import (
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

const segmentSize = 16

// A cacheLine keeps apart what is written by different goroutines all the time: a
// processor fetches a whole line again when any part of it was written by another.
type cacheLine [64]byte

// A segment keeps apart what the producer writes, what consumers write, and what only the
// producer looks at, so that neither waits for the other's processor more than it must.
type segment struct {
	slots  [segmentSize]slot
	_      cacheLine
	states [segmentSize]atomic.Uint64 // see stateOf
	_      cacheLine
	sizes  [segmentSize]int  // of the slots' data
	rare   [segmentSize]bool // whether any field of a slot after received is set
}

// A slot has an event from when it was received until it is settled: what Event says that
// its place does not.
type slot struct {
	data     []byte
	typ, id  string
	token    string
	received time.Time
	header   transport.Header
	gap      *Gap
	settle   func(error)
	lead     string // a position before it, without an event
	before   int    // deliveries before it came
	again    int    // times that it was handed out again
}

// The states of a slot that say something. An event that is in its first attempt, handed
// out or not, has none: the slot's word is still that of an event before it.
const (
	slotReady   uint64 = iota + 1 // handed out before, and to be handed out again
	slotHanded                    // again
	slotSettled                   // acknowledged, or returned to its sender
)

// stateOf packs position, attempt and state into one word. The first two make an Ack
// that comes late do nothing: by a copy of the event from before it was handed out
// again, or after its slot was used again. 48 bits of position last for nine years at
// a million events a second.
func stateOf(seq uint64, attempt int, state uint64) uint64 {
	return seq<<16 | uint64(attempt)&0x1fff<<3 | state
}

// stateIn returns the state that word gives to the position seq, 0 if none.
func stateIn(word, seq uint64) uint64 {
	if word>>16 != seq&(1<<48-1) {
		return 0
	}
	return word & 7
}

// counts tells whether this copy of the event is the one that counts, by the word of its
// slot. Positions in a slot's word only grow.
func (e *Event) counts(word uint64) bool {
	if e.try == 1 {
		return word == 0 || word>>16 < e.seq&(1<<48-1)
	}
	return word == stateOf(e.seq, e.try, slotHanded)
}

// read makes ev the event of the slot i at its present attempt.
func (g *segment) read(i uint64, ev *Event) {
	s := &g.slots[i]
	ev.Data, ev.Type, ev.ID, ev.Token = s.data, s.typ, s.id, s.token
	ev.Header, ev.Received, ev.Gap, ev.settle = s.header, s.received, s.gap, s.settle
	ev.state, ev.try, ev.Attempt = &g.states[i], s.again+1, s.before+s.again+1
}

// write stores an event in the slot i, and the position before it. Rare fields are rarely
// written.
func (g *segment) write(i uint64, ev *Event, lead string) {
	s := &g.slots[i]
	s.data, s.typ, s.id, s.token, s.received = ev.Data, ev.Type, ev.ID, ev.Token, ev.Received
	g.sizes[i] = len(ev.Data)
	if ev.Header != nil || ev.Gap != nil || ev.settle != nil || lead != "" || ev.Attempt > 1 {
		s.header, s.gap, s.settle, s.lead, s.before = ev.Header, ev.Gap, ev.settle, lead, max(ev.Attempt-1, 0)
		g.rare[i] = true
	}
}

// countAgain counts that the event in the slot i is handed out again.
func (g *segment) countAgain(i uint64) {
	g.slots[i].again++
	g.rare[i] = true
}

// clear releases what can be large, and what is rare.
func (g *segment) clear(i uint64) {
	s := &g.slots[i]
	s.data = nil
	if g.rare[i] {
		s.header, s.gap, s.settle, s.lead, s.before, s.again = nil, nil, nil, "", 0, 0
		g.rare[i] = false
	}
}
