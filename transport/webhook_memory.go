package transport

import "time"

// A memory is a set of keys, each of them until a time, that is bounded: the oldest go
// first. It has no pointers, which the collector would follow, and looks at few places, for
// each is a cache miss. The zero value with most set is empty.
type memory struct {
	most int
	ring []remembered // a power of two of places; number i is at i%len
	from uint32       // number of the oldest
	n    uint32       // how many there are, of which some may have been added again since

	// index finds the newest number of a key, by linear probing: it has a power of two of
	// places, at most half of them taken. See place.
	index []uint64
}

type remembered struct {
	key   deliveryKey
	until time.Duration
}

const (
	mostRemembered = 1 << 30
	firstRing      = 64
	taken          = 1 << 31
)

// place is an entry of the index: a part of the key's hash, which says where it belongs and
// mostly whether it is the one, and the number that the key has. No entry is zero.
func place(k deliveryKey, number uint32) uint64 { return k[0]<<32 | taken | uint64(number) }

// until returns the time of a key.
func (m *memory) until(k deliveryKey) (time.Duration, bool) {
	if m.n == 0 {
		return 0, false
	}
	at, ok := m.find(k)
	if !ok {
		return 0, false
	}
	return m.entry(uint32(m.index[at])).until, true
}

// add puts a key at the end, and lets go of what is over by now.
func (m *memory) add(k deliveryKey, now, until time.Duration) {
	for m.n > 0 && (int(m.n) == m.most || m.entry(m.from).until <= now) {
		m.drop()
	}
	if int(m.n) == len(m.ring) {
		m.grow()
	}
	number := m.from + m.n
	m.n++
	*m.entry(number) = remembered{k, until}
	at, _ := m.find(k)
	m.index[at] = place(k, number)
}

// drop lets go of the oldest.
func (m *memory) drop() {
	at, ok := m.find(m.entry(m.from).key)
	if ok && m.index[at] == place(m.entry(m.from).key, m.from) { // else it was added again since
		m.remove(at)
	}
	m.from++
	m.n--
}

func (m *memory) entry(number uint32) *remembered {
	return &m.ring[number&uint32(len(m.ring)-1)]
}

// find returns where in the index a key is, or would be put.
func (m *memory) find(k deliveryKey) (at uint32, ok bool) {
	last := uint32(len(m.index) - 1)
	for at = uint32(k[0]) & last; m.index[at] != 0; at = (at + 1) & last {
		e := m.index[at]
		if uint32(e>>32) == uint32(k[0]) && m.entry(uint32(e)).key == k {
			return at, true
		}
	}
	return at, false
}

// remove empties a place of the index, and moves up what was put behind it only because it
// was taken.
func (m *memory) remove(at uint32) {
	last := uint32(len(m.index) - 1)
	for next := (at + 1) & last; m.index[next] != 0; next = (next + 1) & last {
		home := uint32(m.index[next]>>32) & last
		if (next-home)&last >= (next-at)&last {
			m.index[at] = m.index[next]
			at = next
		}
	}
	m.index[at] = 0
}

// grow makes room for twice as many.
func (m *memory) grow() {
	old, places := *m, m.index
	m.ring = make([]remembered, max(firstRing, 2*len(old.ring)))
	m.index = make([]uint64, 2*len(m.ring))
	for i := range m.n {
		*m.entry(m.from + i) = *old.entry(m.from + i)
	}
	last := uint32(len(m.index) - 1)
	for _, e := range places {
		if e == 0 {
			continue
		}
		at := uint32(e>>32) & last
		for m.index[at] != 0 {
			at = (at + 1) & last
		}
		m.index[at] = e
	}
}
