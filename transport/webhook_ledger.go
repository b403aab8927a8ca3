package transport

import (
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// A ledger knows the deliveries of one provider that are in hand, and those that were
// acknowledged. Its caller holds Webhook.mu.
type ledger struct {
	knows bool          // deliveries are remembered at all
	life  time.Duration // for how long
	begun time.Time     // what memory's times count from
	ids   [2]maphash.Seed
	body  [2]maphash.Seed
	inUse map[deliveryKey]*delivery
	done  memory
	tried attempts
}

// deliveryKey tells deliveries apart: by two hashes of seeds that nobody outside knows, so
// that no two can be made to collide. Zero is the key of what nothing tells from another
// delivery with the same body, which may be news: it is delivered each time.
type deliveryKey [2]uint64

func (k deliveryKey) isUnnamed() bool { return k == deliveryKey{} }

func newLedger(most int, life time.Duration) *ledger {
	return &ledger{
		knows: most > 0, life: min(life, math.MaxInt64/2), begun: time.Now(),
		ids:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		body:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		inUse: make(map[deliveryKey]*delivery),
		done:  memory{most: min(most, mostRemembered)},
		tried: attempts{most: min(most, mostTried)},
	}
}

// key is made of the id, or else of those of the events, and of the body, but where a signed
// id is enough. The events' may be in the header, and the body the same for another event. It
// needs no lock.
func (l *ledger) key(d *provider.Delivery, body []byte) (k deliveryKey) {
	if !l.knows || d.ID == "" && !named(d.Events) {
		return k
	}
	for i := range k {
		if d.ID != "" {
			k[i] = maphash.String(l.ids[i], d.ID)
		}
		for n := 0; d.ID == "" && n < len(d.Events); n++ {
			k[i] = maphash.Comparable(l.ids[i], part{of: k[i], index: n, id: d.Events[n].ID})
		}
		if d.ID == "" || !d.Signed {
			k[i] ^= maphash.Bytes(l.body[i], body)
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
	keys := make([]deliveryKey, len(events))
	for i := range events {
		for s, seed := range l.ids {
			data := maphash.Bytes(l.body[s], events[i].Data)
			keys[i][s] = maphash.Comparable(seed, part{k[s], i, events[i].ID, data})
		}
	}
	return keys
}

// part is what a key is made of that is more than one value.
type part struct {
	of    uint64
	index int
	id    string
	data  uint64
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
	until, ok := l.done.until(k)
	return ok && now.Sub(l.begun) < until
}

// remember notes that a delivery was acknowledged.
func (l *ledger) remember(k deliveryKey, now time.Time) {
	if !k.isUnnamed() {
		at := now.Sub(l.begun)
		l.done.add(k, at, at+l.life)
		l.tried.forget(k)
	}
}

// retry notes that a delivery was handed out and is the sender's to repeat.
func (l *ledger) retry(k deliveryKey) {
	if !k.isUnnamed() {
		l.tried.add(k)
	}
}

// attempts counts how often deliveries were handed out that are not acknowledged yet. It is
// bounded: of those that have waited for longest, the count begins again.
type attempts struct {
	most   int
	counts map[deliveryKey]int
	order  []deliveryKey // a ring of most places, or fewer; some may have been forgotten
	oldest int           // in order, once it is full
}

// mostTried is how many deliveries of a provider are counted.
const mostTried = 1 << 13

func (a *attempts) of(k deliveryKey) int { return a.counts[k] }

func (a *attempts) add(k deliveryKey) {
	if a.counts == nil {
		a.counts = make(map[deliveryKey]int)
	}
	if a.counts[k]++; a.counts[k] > 1 {
		return
	}
	if len(a.order) < a.most {
		a.order = append(a.order, k)
		return
	}
	delete(a.counts, a.order[a.oldest])
	a.order[a.oldest] = k
	a.oldest = (a.oldest + 1) % a.most
}

func (a *attempts) forget(k deliveryKey) {
	if len(a.counts) > 0 {
		delete(a.counts, k)
	}
}
