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
	knows   bool          // whether deliveries are remembered
	life    time.Duration // for how long
	begun   time.Time     // the zero of the times in done
	ids     [2]maphash.Seed
	body    [2]maphash.Seed
	tenants [2]maphash.Seed

	mu      sync.Mutex                // held for a few instructions
	inUse   map[deliveryKey]*delivery // by key, and by the keys of unique events in batches
	done    seenSet
	tried   attempts
	calls   map[deliveryKey]*call // of Receiver.Answer that run
	answers answers
}

// A deliveryKey identifies a delivery by two hashes with random seeds. maphash is not
// cryptographically secure, but only verified deliveries get a key. A delivery with the zero key is
// never recognized: one with an identical body may be a new event.
type deliveryKey [2]uint64

func (k deliveryKey) isUnnamed() bool { return k == deliveryKey{} }

func newLedger(most int, life time.Duration) *ledger {
	return &ledger{
		knows: most > 0, life: min(life, math.MaxInt64/2), begun: time.Now(),
		ids:     [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		body:    [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		tenants: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		inUse:   make(map[deliveryKey]*delivery),
		done:    seenSet{most: min(most, mostSeen)},
		tried:   attempts{most: min(most, mostTried)},
	}
}

// key hashes the delivery id and the body; a signed id needs no body. Without a delivery id, it
// hashes the ids of the events and the body: the ids may come from the unsigned header, and the
// same body may belong to another event. The key of a unique event is that of its delivery, if it
// is alone there.
func (l *ledger) key(d *provider.Delivery, body []byte) (k deliveryKey) {
	switch {
	case !l.knows || d.ID == "" && !named(d.Events):
		return k
	case d.Unique && len(d.Events) == 1 && d.Events[0].ID != "":
		return l.event(d, 0)
	}
	if len(body) == 0 && len(d.Events) == 1 {
		body = d.Events[0].Data // the query
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
	return l.of(d.Tenant, k)
}

// of returns the key of a tenant. A tenant must not make the deliveries of another look acknowledged.
func (l *ledger) of(tenant string, k deliveryKey) deliveryKey {
	for i := range k {
		if tenant != "" {
			k[i] ^= maphash.String(l.tenants[i], tenant)
		}
	}
	return k
}

// event returns the key of an event whose id is unique among all deliveries.
func (l *ledger) event(d *provider.Delivery, n int) (k deliveryKey) {
	for i, seed := range l.ids {
		k[i] = maphash.Comparable(seed, part{index: -1, id: d.Events[n].ID})
	}
	return l.of(d.Tenant, k)
}

// named reports whether each event has an id.
func named(events []provider.Event) bool {
	return !slices.ContainsFunc(events, func(e provider.Event) bool { return e.ID == "" })
}

// items returns the keys of the events of a batch, or nil for a single event. Unless ids are unique,
// an event whose position or data differs when its delivery is repeated is another event. An event
// that cannot be recognized has the zero key.
func (l *ledger) items(k deliveryKey, d *provider.Delivery) []deliveryKey {
	if !l.knows || len(d.Events) < 2 || k.isUnnamed() && !d.Unique {
		return nil
	}
	keys := make([]deliveryKey, len(d.Events))
	for i, e := range d.Events {
		switch {
		case d.Unique && e.ID != "":
			keys[i] = l.event(d, i)
		case !k.isUnnamed():
			for s, seed := range l.ids {
				keys[i][s] = maphash.Comparable(seed, part{k[s], i, e.ID, maphash.Bytes(l.body[s], e.Data)})
			}
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
	first        *delivery // the delivery that is being handled and is the same, or has one of its events
	known        []bool    // the events of a batch that were acknowledged; nil: none
	attempt      int       // of the delivery, if it is handled now
}

// claim marks a delivery as being handled, unless it was acknowledged or already is. Nor does it if
// another delivery that is being handled has one of its events.
func (l *ledger) claim(d *delivery, now time.Time) claim {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	if d.unique {
		for i, item := range d.items {
			if first := l.inUse[item]; first != nil && !isKnown(known, i) {
				return claim{first: first}
			}
		}
		known = l.take(d, known)
	}
	if !d.key.isUnnamed() {
		l.inUse[d.key] = d
	}
	return claim{known: known, attempt: l.tried.of(d.key) + 1}
}

// take marks the events of a batch as being handled. One that is in the batch twice becomes known.
// The caller holds l.mu.
func (l *ledger) take(d *delivery, known []bool) []bool {
	for i, item := range d.items {
		switch {
		case item.isUnnamed() || isKnown(known, i):
		case l.inUse[item] == d:
			if known == nil {
				known = make([]bool, len(d.items))
			}
			known[i] = true
		default:
			l.inUse[item] = d
		}
	}
	return known
}

func isKnown(known []bool, i int) bool { return known != nil && known[i] }

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
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free(d.key, d)
	for i := 0; d.unique && i < len(d.items); i++ {
		l.free(d.items[i], d)
	}
	if retry && !d.key.isUnnamed() {
		l.tried.add(d.key)
	}
}

func (l *ledger) free(k deliveryKey, d *delivery) {
	if l.inUse[k] == d {
		delete(l.inUse, k)
	}
}

// call returns the run of Receiver.Answer for a delivery, and whether the caller must start it. The
// run is nil if the subscription has the delivery.
func (l *ledger) call(k deliveryKey, now time.Time) (c *call, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case k.isUnnamed():
		return &call{done: make(chan struct{})}, true
	case l.calls[k] != nil:
		return l.calls[k], false
	case l.has(k, now) || l.inUse[k] != nil:
		return nil, false
	}
	c = &call{done: make(chan struct{})}
	if a := l.answers.of(k, now, l.life); a != nil {
		c.answer = a
		close(c.done)
		return c, false
	}
	if l.calls == nil {
		l.calls = make(map[deliveryKey]*call)
	}
	l.calls[k] = c
	return c, true
}

// endCall records the outcome of a call. An answer is remembered, for a sender that repeats the
// delivery.
func (l *ledger) endCall(k deliveryKey, c *call, a *provider.Answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.answer, c.err = a, err
	close(c.done)
	if k.isUnnamed() {
		return
	}
	delete(l.calls, k)
	if a != nil {
		l.answers.add(k, a, time.Now())
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
