package window

import "sync/atomic"

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
	rare   [segmentSize]bool // whether any field of a slot after entry.Received is set
}

// A slot holds an event until it is settled.
type slot struct {
	entry Entry
	lead  string // token of a position without an event just before it
	again int    // claims after the first one
}

// The states of a slot. An event in its first attempt, delivered or not, has none: the slot's word
// is still that of an earlier event.
const (
	slotReady     uint64 = iota + 1 // given back, must be delivered again
	slotClaimed                     // delivered again
	slotSettled                     // acknowledged, or returned to its sender
	slotHeld                        // refused, and not available again
	slotUnclaimed                   // given back by a claim that does not count as an attempt
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

// claim sets c to a claim of the event at seq in its current attempt.
func (g *segment) claim(seq uint64, c *Claim) *Entry {
	i := seq % segmentSize
	c.state, c.seq, c.attempt = &g.states[i], seq, g.slots[i].again+1
	return &g.slots[i].entry
}

// write stores an event, and the position without an event before it, in the slot i. It writes rare
// fields only if one is set.
func (g *segment) write(i uint64, e *Entry, lead string) {
	s := &g.slots[i]
	d := &s.entry
	d.Data, d.Type, d.ID, d.Token, d.Received = e.Data, e.Type, e.ID, e.Token, e.Received
	g.sizes[i] = len(e.Data)
	if e.Delivery != nil || e.Gap != nil || e.Settle != nil || e.Before > 0 || e.CaughtUp || lead != "" {
		d.Delivery, d.Gap, d.Settle, d.Before = e.Delivery, e.Gap, e.Settle, e.Before
		d.Keep, d.CaughtUp = e.Keep, e.CaughtUp
		s.lead = lead
		g.rare[i] = true
	}
}

// countAgain counts another claim of the event in the slot i.
func (g *segment) countAgain(i uint64) {
	g.slots[i].again++
	g.rare[i] = true
}

// clear releases the data and the rare fields of the slot i, but not its token.
func (g *segment) clear(i uint64) {
	s := &g.slots[i]
	s.entry.Data = nil
	if g.rare[i] {
		*s = slot{entry: Entry{Token: s.entry.Token}} // low may need it
		g.rare[i] = false
	}
}
