package client

import (
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

const segmentSize = 16

// A cacheLine separates fields that different goroutines write often: a processor fetches a whole
// line again when another one has written any part of it.
type cacheLine [64]byte

// A segment holds the slots of segmentSize positions. What the producer writes, what consumers
// write, and what only the producer reads are on separate cache lines.
type segment struct {
	slots  [segmentSize]slot
	_      cacheLine
	states [segmentSize]atomic.Uint64 // see stateOf
	_      cacheLine
	sizes  [segmentSize]int  // of the slots' data
	rare   [segmentSize]bool // whether any field of a slot after received is set
}

// A slot holds an event until it is settled, without the fields that its position implies.
type slot struct {
	data     []byte
	typ, id  string
	token    string
	received time.Time
	header   transport.Header
	delivery *transport.Delivery
	gap      *Gap
	settle   func(error)
	lead     string // token of a position without an event just before it
	before   int    // deliveries by the sender before this one
	again    int    // redeliveries by this subscription
}

// The states of a slot. An event in its first attempt, delivered or not, has none: the slot's word
// is still that of an earlier event.
const (
	slotReady   uint64 = iota + 1 // returned, must be delivered again
	slotHanded                    // delivered again
	slotSettled                   // acknowledged, or returned to its sender
)

// stateOf packs position, attempt and state into one word. Position and attempt make a late Ack do
// nothing: one by a copy of the event from before its redelivery, or one after its slot was reused.
// 48 bits of position last for nine years at a million events a second.
func stateOf(seq uint64, attempt int, state uint64) uint64 {
	return seq<<16 | uint64(attempt)&0x1fff<<3 | state
}

// stateIn returns the state of the position seq in word, or 0 if word belongs to another position.
func stateIn(word, seq uint64) uint64 {
	if word>>16 != seq&(1<<48-1) {
		return 0
	}
	return word & 7
}

// counts reports whether e is the copy from the current attempt, given the word of its slot.
// Positions in a slot's word only grow.
func (e *Event) counts(word uint64) bool {
	if e.try == 1 {
		return word == 0 || word>>16 < e.seq&(1<<48-1)
	}
	return word == stateOf(e.seq, e.try, slotHanded)
}

// read sets ev to the event in the slot i at its current attempt.
func (g *segment) read(i uint64, ev *Event) {
	s := &g.slots[i]
	ev.Data, ev.Type, ev.ID, ev.Token = s.data, s.typ, s.id, s.token
	ev.Header, ev.Delivery, ev.Received, ev.Gap, ev.settle = s.header, s.delivery, s.received, s.gap, s.settle
	ev.state, ev.try, ev.Attempt = &g.states[i], s.again+1, s.before+s.again+1
}

// write stores an event, and the position without an event before it, in the slot i. It writes rare
// fields only if one is set.
func (g *segment) write(i uint64, ev *Event, lead string) {
	s := &g.slots[i]
	s.data, s.typ, s.id, s.token, s.received = ev.Data, ev.Type, ev.ID, ev.Token, ev.Received
	g.sizes[i] = len(ev.Data)
	if ev.Header != nil || ev.Delivery != nil || ev.Gap != nil || ev.settle != nil || lead != "" || ev.Attempt > 1 {
		s.header, s.delivery, s.gap, s.settle = ev.Header, ev.Delivery, ev.Gap, ev.settle
		s.lead, s.before = lead, max(ev.Attempt-1, 0)
		g.rare[i] = true
	}
}

// countAgain counts a redelivery of the event in the slot i.
func (g *segment) countAgain(i uint64) {
	g.slots[i].again++
	g.rare[i] = true
}

// clear releases the data and the rare fields of the slot i.
func (g *segment) clear(i uint64) {
	s := &g.slots[i]
	s.data = nil
	if g.rare[i] {
		s.header, s.delivery, s.gap, s.settle, s.lead, s.before, s.again = nil, nil, nil, nil, "", 0, 0
		g.rare[i] = false
	}
}
