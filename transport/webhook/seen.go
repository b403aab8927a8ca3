package webhook

import "time"

// A seenSet is a bounded set of keys that expire; the oldest are dropped first. It contains no
// pointers, which the garbage collector would follow, and probes few entries, because each is a
// cache miss. The zero value with most set is empty.
type seenSet struct {
	most int
	ring []seenKey // number i is at i%len, and len is a power of two
	from uint32    // number of the oldest
	n    uint32    // how many there are; a key that was added again counts twice

	// index finds the newest number of a key by linear probing. Its length is a power of two,
	// and at most half of its entries are used. See place.
	index []uint64
}

type seenKey struct {
	key   deliveryKey
	until time.Duration
}

const (
	mostSeen  = 1 << 30
	firstRing = 64
	occupied  = 1 << 31
)

// place returns an entry of the index. The upper half is a part of the key: it determines the
// position, and nearly always identifies the key. The lower half is the key's number. No entry is
// zero.
func place(k deliveryKey, number uint32) uint64 { return k[0]<<32 | occupied | uint64(number) }

// until returns when a key expires.
func (s *seenSet) until(k deliveryKey) (time.Duration, bool) {
	if s.n == 0 {
		return 0, false
	}
	at, ok := s.find(k)
	if !ok {
		return 0, false
	}
	return s.entry(uint32(s.index[at])).until, true
}

// add appends a key and drops those that have expired.
func (s *seenSet) add(k deliveryKey, now, until time.Duration) {
	for s.n > 0 && (int(s.n) == s.most || s.entry(s.from).until <= now) {
		s.drop()
	}
	if int(s.n) == len(s.ring) {
		s.grow()
	}
	number := s.from + s.n
	s.n++
	*s.entry(number) = seenKey{k, until}
	at, _ := s.find(k)
	s.index[at] = place(k, number)
}

// drop removes the oldest key.
func (s *seenSet) drop() {
	at, ok := s.find(s.entry(s.from).key)
	if ok && s.index[at] == place(s.entry(s.from).key, s.from) { // otherwise the key was added again
		s.remove(at)
	}
	s.from++
	s.n--
}

func (s *seenSet) entry(number uint32) *seenKey {
	return &s.ring[number&uint32(len(s.ring)-1)]
}

// find returns the position of a key in the index, or the position where it would be inserted.
func (s *seenSet) find(k deliveryKey) (at uint32, ok bool) {
	last := uint32(len(s.index) - 1)
	for at = uint32(k[0]) & last; s.index[at] != 0; at = (at + 1) & last {
		e := s.index[at]
		if uint32(e>>32) == uint32(k[0]) && s.entry(uint32(e)).key == k {
			return at, true
		}
	}
	return at, false
}

// remove clears an entry of the index and moves up the entries that follow it only because it was
// in use.
func (s *seenSet) remove(at uint32) {
	last := uint32(len(s.index) - 1)
	for next := (at + 1) & last; s.index[next] != 0; next = (next + 1) & last {
		home := uint32(s.index[next]>>32) & last
		if (next-home)&last >= (next-at)&last {
			s.index[at] = s.index[next]
			at = next
		}
	}
	s.index[at] = 0
}

// grow doubles the capacity.
func (s *seenSet) grow() {
	old, places := *s, s.index
	s.ring = make([]seenKey, max(firstRing, 2*len(old.ring)))
	s.index = make([]uint64, 2*len(s.ring))
	for i := range s.n {
		*s.entry(s.from + i) = *old.entry(s.from + i)
	}
	last := uint32(len(s.index) - 1)
	for _, e := range places {
		if e == 0 {
			continue
		}
		at := uint32(e>>32) & last
		for s.index[at] != 0 {
			at = (at + 1) & last
		}
		s.index[at] = e
	}
}
