package transport

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// A ledger knows the deliveries of one provider that are in hand, and those that were
// acknowledged. Its caller holds Webhook.mu.
type ledger struct {
	most  int           // acknowledged deliveries to remember; 0: it knows nothing
	life  time.Duration // for how long
	seeds [2]maphash.Seed
	inUse map[deliveryKey]*delivery
	done  map[deliveryKey]time.Time // until when
	order []doneEntry               // as they were added, from first
	first int
}

type doneEntry struct {
	key   deliveryKey
	until time.Time
}

// deliveryKey tells deliveries apart: by two hashes each, of seeds that nobody outside
// knows, so that no two can be made to collide.
type deliveryKey struct {
	id   [2]uint64 // zero: it has none
	body [2]uint64 // zero: the id is signed
}

// isUnnamed tells the key of what nothing tells from another delivery with the same body,
// which may be news: it is delivered each time.
func (k deliveryKey) isUnnamed() bool { return k == deliveryKey{} }

func newLedger(most int, life time.Duration) *ledger {
	return &ledger{
		most: max(most, 0), life: life,
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		inUse: make(map[deliveryKey]*delivery),
		done:  make(map[deliveryKey]time.Time),
	}
}

// key needs no lock.
func (l *ledger) key(d *provider.Delivery, body []byte) (k deliveryKey) {
	if l.most == 0 || d.ID == "" && !named(d.Events) {
		return k
	}
	for i, seed := range l.seeds {
		if d.ID != "" {
			k.id[i] = maphash.String(seed, d.ID)
		}
		if d.ID == "" || !d.Signed {
			k.body[i] = maphash.Bytes(seed, body)
		}
	}
	return k
}

// named tells whether each event has an id of its own.
func named(events []provider.Event) bool {
	return !slices.ContainsFunc(events, func(e provider.Event) bool { return e.ID == "" })
}

// items returns the keys of the events of a batch, nil for a single one. An event that is at
// another place when its delivery is repeated, or has other data, is another event. items
// needs no lock.
func (l *ledger) items(k deliveryKey, events []provider.Event) []deliveryKey {
	if k.isUnnamed() || len(events) < 2 {
		return nil
	}
	type part struct {
		of    uint64
		index int
		id    string
		data  uint64
	}
	keys := make([]deliveryKey, len(events))
	for i := range events {
		keys[i].id = k.id
		for s, seed := range l.seeds {
			data := maphash.Bytes(seed, events[i].Data)
			keys[i].body[s] = maphash.Comparable(seed, part{k.body[s], i, events[i].ID, data})
		}
	}
	return keys
}

// claim puts a delivery in use, unless one of the same key is already: that one is
// returned then.
func (l *ledger) claim(d *delivery) *delivery {
	if d.key.isUnnamed() {
		return nil
	}
	if first := l.inUse[d.key]; first != nil {
		return first
	}
	l.inUse[d.key] = d
	return nil
}

// free is the opposite of claim.
func (l *ledger) free(d *delivery) {
	if l.inUse[d.key] == d {
		delete(l.inUse, d.key)
	}
}

// has tells whether a delivery was acknowledged.
func (l *ledger) has(k deliveryKey, now time.Time) bool {
	until, ok := l.done[k]
	return ok && now.Before(until)
}

// remember takes note that a delivery was acknowledged.
func (l *ledger) remember(k deliveryKey, now time.Time) {
	if k.isUnnamed() {
		return
	}
	until := now.Add(l.life)
	l.done[k] = until
	l.order = append(l.order, doneEntry{k, until})
	for len(l.order)-l.first > l.most || !now.Before(l.order[l.first].until) {
		l.forgetFirst()
	}
}

func (l *ledger) forgetFirst() {
	e := &l.order[l.first]
	if l.done[e.key].Equal(e.until) { // else it was added again since
		delete(l.done, e.key)
	}
	if l.first++; l.first > len(l.order)/2 {
		l.order = l.order[:copy(l.order, l.order[l.first:])]
		l.first = 0
	}
}
