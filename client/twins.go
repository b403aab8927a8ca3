package client

import (
	"sync"

	"github.com/steadfeed/steadfeed/client/internal/window"
)

// twins recognize the events that reach a Receiver both from their sender and from Options.Backfill.
// An event is delivered once, and each request of the sender that repeats it is answered after it is
// settled. An event that is refused and returned to its sender is forgotten: the sender repeats it.
type twins struct {
	mu    sync.Mutex // held for a few instructions, never across a call of a Settle
	ids   map[string]*twin
	ring  []*twin // oldest first from next on; some are no longer in ids
	limit int
	next  int
}

func newTwins(limit int) *twins { return &twins{ids: make(map[string]*twin), limit: limit} }

// A twin is an event that was received.
type twin struct {
	id      string
	settled bool
	waiting []func(error) // requests that repeat the event
}

// mostWaiting is the maximum number of requests that wait for an event. Those before them were
// answered by their Receiver long ago, when their time was over.
const mostWaiting = 16

// meet reports whether e was received before. If it is not settled, the sender waits until it is.
func (t *twins) meet(e *window.Entry) bool {
	if e.ID == "" {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.ids[e.ID]
	if first == nil {
		return false
	}
	if e.Settle != nil && !first.settled {
		if len(first.waiting) == mostWaiting {
			copy(first.waiting, first.waiting[1:])
			first.waiting = first.waiting[:mostWaiting-1]
		}
		first.waiting = append(first.waiting, e.Settle)
		e.Settle = nil // it is not called for the duplicate
	}
	return true
}

// add remembers e and follows it until it is settled.
func (t *twins) add(e *window.Entry) {
	if e.ID == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	first, settle := &twin{id: e.ID}, e.Settle
	t.keep(first)
	e.Keep = settle == nil
	e.Settle = func(err error) {
		for _, waits := range t.settle(first, err) {
			waits(err)
		}
		if settle != nil {
			settle(err)
		}
	}
}

// keep stores an event in the place of the oldest one. The caller holds mu.
func (t *twins) keep(first *twin) {
	t.ids[first.id] = first
	if len(t.ring) < t.limit {
		t.ring = append(t.ring, first)
		return
	}
	t.forget(t.ring[t.next])
	t.ring[t.next] = first
	t.next = (t.next + 1) % t.limit
}

// forget forgets an event, unless another one with its id was received since. The caller holds mu.
func (t *twins) forget(first *twin) {
	if t.ids[first.id] == first {
		delete(t.ids, first.id)
	}
}

// settle records that an event is settled, and returns the requests that wait for that.
func (t *twins) settle(first *twin, err error) (waiting []func(error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first.settled = true
	waiting, first.waiting = first.waiting, nil
	if err != nil {
		t.forget(first)
	}
	return waiting
}
