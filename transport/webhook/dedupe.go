package webhook

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A ledger records the deliveries of one provider that are being handled, and those that were
// acknowledged. It outlives a Listener.
type ledger struct {
	knows bool          // whether deliveries are remembered
	life  time.Duration // for how long
	begun time.Time     // the zero of the times in done
	ids   [2]maphash.Seed
	body  [2]maphash.Seed

	mu    sync.Mutex // held for a few instructions
	inUse map[deliveryKey]*delivery
	done  seenSet
	tried attempts
}

// A deliveryKey identifies a delivery by two hashes with random seeds. maphash is not
// cryptographically secure, but only verified deliveries get a key. A delivery with the zero key is
// never recognized: one with an identical body may be a new event.
type deliveryKey [2]uint64

func (k deliveryKey) isUnnamed() bool { return k == deliveryKey{} }

func newLedger(most int, life time.Duration) *ledger {
	return &ledger{
		knows: most > 0, life: min(life, math.MaxInt64/2), begun: time.Now(),
		ids:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		body:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		inUse: make(map[deliveryKey]*delivery),
		done:  seenSet{most: min(most, mostSeen)},
		tried: attempts{most: min(most, mostTried)},
	}
}

// key hashes the delivery id and the body; a signed id needs no body. Without a delivery id, it
// hashes the ids of the events and the body: the ids may come from the unsigned header, and the
// same body may belong to another event.
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

// named reports whether each event has an id.
func named(events []provider.Event) bool {
	return !slices.ContainsFunc(events, func(e provider.Event) bool { return e.ID == "" })
}

// items returns the keys of the events of a batch, or nil for a single event. If the position or
// the data of an event differs when its delivery is repeated, it is another event.
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

// part is a hash input of several values.
type part struct {
	of    uint64
	index int
	id    string
	data  uint64
}

// A claim is what a ledger knows of an incoming delivery.
type claim struct {
	acknowledged bool      // the delivery, or every event of it
	first        *delivery // the same delivery, if it is being handled
	known        []bool    // the events of a batch that were acknowledged; nil: none
	attempt      int       // of the delivery, if it is handled now
}

// claim marks a delivery as being handled, unless it was acknowledged or already is.
func (l *ledger) claim(d *delivery, now time.Time) claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.key.isUnnamed() {
		return claim{attempt: 1}
	}
	if l.has(d.key, now) {
		return claim{acknowledged: true}
	}
	known, all := l.known(d.items, now)
	if all {
		return claim{acknowledged: true}
	}
	if first := l.inUse[d.key]; first != nil {
		return claim{first: first}
	}
	l.inUse[d.key] = d
	return claim{known: known, attempt: l.tried.of(d.key) + 1}
}

// known returns which events of a batch were acknowledged, nil if none were, and whether all were.
// The caller holds l.mu.
func (l *ledger) known(items []deliveryKey, now time.Time) (known []bool, all bool) {
	n := 0
	for i, item := range items {
		if !l.has(item, now) {
			continue
		}
		if known == nil {
			known = make([]bool, len(items))
		}
		known[i] = true
		n++
	}
	return known, n > 0 && n == len(items)
}

// has reports whether a delivery or an event was acknowledged. The caller holds l.mu.
func (l *ledger) has(k deliveryKey, now time.Time) bool {
	until, ok := l.done.until(k)
	return ok && now.Sub(l.begun) < until
}

// release undoes claim. If retry is true, an attempt is counted that the sender must repeat.
func (l *ledger) release(d *delivery, retry bool) {
	if d.key.isUnnamed() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inUse[d.key] == d {
		delete(l.inUse, d.key)
	}
	if retry {
		l.tried.add(d.key)
	}
}

// remember records that a delivery or an event was acknowledged.
func (l *ledger) remember(k deliveryKey) {
	if k.isUnnamed() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Since(l.begun)
	l.done.add(k, at, at+l.life)
	l.tried.forget(k)
}

// attempts counts the attempts of deliveries that are not yet acknowledged. It is bounded: the
// oldest are forgotten and then counted from the start.
type attempts struct {
	most   int
	counts map[deliveryKey]int
	order  []deliveryKey // a ring of the keys counted last; some may have been forgotten
	oldest int           // index into order, once it is full
}

// mostTried is the maximum number of deliveries of a provider that are counted.
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
