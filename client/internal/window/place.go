package window

import (
	"slices"
	"time"
)

// A Place is an event that waits in the queue. A consumer that keeps an order looks for the first
// event that it may handle, and leaves the others where they may still be dropped or replaced.
type Place struct {
	N     uint64 // number of the event; set it to start after an earlier one
	Slot  Slot   // a copy
	Key   string // noted by the owner; valid if Keyed
	Keyed bool

	at      *waiting
	version uint64
}

// Notify makes c receive whenever there may be something new for consumers that use Look. They do not
// take part in Wait, because one that is woken may find only events that it must leave to others. stop
// ends that.
func (w *Window) Notify(c chan struct{}) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.setLookers(append(slices.Clone(w.lookers()), c))
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.setLookers(slices.DeleteFunc(slices.Clone(w.lookers()), func(l chan struct{}) bool { return l == c }))
	}
}

func (w *Window) lookers() []chan struct{} {
	if l := w.looking.Load(); l != nil {
		return *l
	}
	return nil
}

func (w *Window) setLookers(l []chan struct{}) { w.looking.Store(&l) }

// wake wakes a consumer that waits, and those that use Look.
func (w *Window) wake() {
	signal(w.ready)
	for _, c := range w.lookers() {
		signal(c)
	}
}

// HasNew reports whether an event waits, and one after number after, or one that was given back.
func (w *Window) HasNew(after uint64) bool { return w.queue.hasNew(after) || w.returns.Load() > 0 }

// Look moves p to the next event that waits. If there is none, it moves p after all that were
// published, and returns false. owner sees the keys that it has noted.
func (w *Window) Look(p *Place, owner any) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	q, x := w.queue, p.at
	if x != nil && x.n == p.N {
		x = x.next
	} else { // it has left
		for x = q.first; x != nil && x.n <= p.N; x = x.next {
		}
	}
	if last := q.published.Load(); x == nil || x.n > last {
		p.N, p.at = max(p.N, last), nil
		return false
	}
	*p = Place{N: x.n, Slot: x.slot, at: x, version: x.version}
	if x.owner == owner {
		p.Key, p.Keyed = x.noted, true
	}
	if r := x.slot.rare; r != nil {
		p.Slot.rare = r.clone()
	}
	return true
}

// Note keeps p.Key with the event, unless it has left or was replaced.
func (w *Window) Note(p *Place, owner any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := p.at; x.n == p.N && x.version == p.version {
		x.owner, x.noted = owner, p.Key
	}
}

// ClaimAt claims the event at p. It returns nil if the event has left or was replaced; the next Look
// then finds what is in its place, or after it.
func (w *Window) ClaimAt(c *Claim, p *Place) *Slot {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := p.at; x.n == p.N && x.version == p.version {
		return w.claimWaiting(c, x)
	}
	p.N, p.at = p.N-1, nil
	return nil
}

// ClaimReturned claims an event that was given back and is due, or returns nil.
func (w *Window) ClaimReturned(c *Claim) *Slot {
	if w.returns.Load() == 0 {
		return nil
	}
	e := w.claimReturned(c, time.Now())
	if e != nil {
		w.PassOn()
	}
	return e
}
