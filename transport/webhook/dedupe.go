package webhook

import (
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A ledger records the deliveries of one provider that are being handled, and those that were
// acknowledged. The caller of its methods holds Receiver.mu unless they need no lock.
type ledger struct {
	knows bool          // whether deliveries are remembered
	life  time.Duration // for how long
	begun time.Time     // the zero of the times in done
	ids   [2]maphash.Seed
	body  [2]maphash.Seed
	inUse map[deliveryKey]*delivery
	done  memory
	tried attempts
}

// A deliveryKey identifies a delivery by two hashes with random seeds. maphash is not
// cryptographically secure, but only verified deliveries get a key. A delivery with the zero key is
// never recognised: one with an identical body may be a new event.
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

// key hashes the delivery id and the body; a signed id needs no body. Without a delivery id, it
// hashes the ids of the events and the body: the ids may come from the unsigned header, and the
// same body may belong to another event. It needs no lock.
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
// the data of an event differs when its delivery is repeated, it is another event. items needs no
// lock.
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

// claim marks a delivery as being handled. If one with the same key already is, claim returns that
// one instead.
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

// free undoes claim.
func (l *ledger) free(d *delivery) {
	if l.inUse[d.key] == d {
		delete(l.inUse, d.key)
	}
}

// has reports whether a delivery was acknowledged.
func (l *ledger) has(k deliveryKey, now time.Time) bool {
	until, ok := l.done.until(k)
	return ok && now.Sub(l.begun) < until
}

// remember records that a delivery was acknowledged.
func (l *ledger) remember(k deliveryKey, now time.Time) {
	if !k.isUnnamed() {
		at := now.Sub(l.begun)
		l.done.add(k, at, at+l.life)
		l.tried.forget(k)
	}
}

// retry records an attempt that the sender must repeat.
func (l *ledger) retry(k deliveryKey) {
	if !k.isUnnamed() {
		l.tried.add(k)
	}
}

// attempts counts the attempts of deliveries that are not yet acknowledged. It is bounded: the
// oldest are forgotten and then counted from the start.
type attempts struct {
	most   int
	counts map[deliveryKey]int
	order  []deliveryKey // a ring of at most most keys; some may have been forgotten
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
