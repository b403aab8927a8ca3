package window

import (
	"sync/atomic"
	"time"
)

const segmentSize = 8

// A cacheLine separates fields that different goroutines write often: a processor fetches a whole
// line again when another one has written any part of it.
type cacheLine [64]byte

// leastSegments is the size of the first directory.
const leastSegments = 2

// A directory holds the segment of position p at p/segmentSize%len. Its length is a power of two.
type directory []atomic.Pointer[segment]

func newDirectory(n uint64) *directory {
	d := make(directory, n)
	return &d
}

func (d *directory) at(seq uint64) *atomic.Pointer[segment] {
	return &(*d)[seq/segmentSize&uint64(len(*d)-1)]
}

// A segment holds the slots of segmentSize positions. What the producer writes and what consumers
// write are on separate cache lines.
type segment struct {
	slots  [segmentSize]Slot
	_      cacheLine
	states [segmentSize]atomic.Uint64 // see stateOf
}

// A Slot holds an event until it is settled.
type Slot struct {
	Data     []byte
	Type, ID string
	Token    string
	Received time.Time
	rare     *rare // nil for most events
}

// rare is what most slots have nothing of.
type rare struct {
	Rare
	lead   string // token of a position without an event just before the event
	again  int    // claims after the first one
	resume string // the token to resume after the event, if moved
	moved  bool
}

func (r *rare) clone() *rare {
	c := *r
	if r.Gap != nil {
		g := *r.Gap
		c.Gap = &g
	}
	return &c
}

// Rare returns the rest of the event, or nil if it has nothing of that.
func (s *Slot) Rare() *Rare {
	if s.rare == nil {
		return nil
	}
	return &s.rare.Rare
}

// claims returns how many times the event was claimed, if it was, from 1.
func (s *Slot) claims() int {
	if s.rare == nil {
		return 1
	}
	return s.rare.again + 1
}

// entry returns the event.
func (s *Slot) entry() Entry {
	e := Entry{Data: s.Data, Type: s.Type, ID: s.ID, Token: s.Token, Received: s.Received}
	if s.rare != nil {
		e.Rare = s.rare.Rare
	}
	return e
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
func (g *segment) claim(seq uint64, c *Claim) *Slot {
	i := seq % segmentSize
	s := &g.slots[i]
	c.state, c.seq, c.attempt = &g.states[i], seq, s.claims()
	return s
}

// write stores an event, and the position without an event before it.
func (s *Slot) write(e *Entry, lead string) {
	s.Data, s.Type, s.ID, s.Token, s.Received = e.Data, e.Type, e.ID, e.Token, e.Received
	if e.Delivery != nil || e.Gap != nil || e.Settle != nil || e.Before > 0 || e.CaughtUp || lead != "" {
		s.rare = &rare{Rare: e.Rare, lead: lead}
	}
}

// countAgain counts another claim of the event.
func (s *Slot) countAgain() { s.needRare().again++ }

func (s *Slot) needRare() *rare {
	if s.rare == nil {
		s.rare = new(rare)
	}
	return s.rare
}

// clear releases what the event holds, except for the token to resume after it, which low needs.
func (s *Slot) clear() {
	s.Data = nil
	if r := s.rare; r != nil {
		token := s.Token
		if r.moved {
			token = r.resume
		}
		*s = Slot{Token: token}
	}
}
