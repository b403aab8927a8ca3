package webhook

import "time"

// A memory is a bounded set of keys that expire; the oldest are dropped first. It contains no
// pointers, which the garbage collector would follow, and probes few entries, because each is a
// cache miss. The zero value with most set is empty.
type memory struct {
	most int
	ring []remembered // number i is at i%len, and len is a power of two
	from uint32       // number of the oldest
	n    uint32       // how many there are; a key that was added again counts twice

	// index finds the newest number of a key by linear probing. Its length is a power of two,
	// and at most half of its entries are used. See place.
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

// place returns an entry of the index. The upper half is a part of the key: it determines the
// position, and nearly always identifies the key. The lower half is the key's number. No entry is
// zero.
func place(k deliveryKey, number uint32) uint64 { return k[0]<<32 | taken | uint64(number) }

// until returns when a key expires.
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

// add appends a key and drops those that have expired.
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

// drop removes the oldest key.
func (m *memory) drop() {
	at, ok := m.find(m.entry(m.from).key)
	if ok && m.index[at] == place(m.entry(m.from).key, m.from) { // otherwise the key was added again
		m.remove(at)
	}
	m.from++
	m.n--
}

func (m *memory) entry(number uint32) *remembered {
	return &m.ring[number&uint32(len(m.ring)-1)]
}

// find returns the position of a key in the index, or the position where it would be inserted.
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

// remove clears an entry of the index and moves up the entries that follow it only because it was
// in use.
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

// grow doubles the capacity.
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
