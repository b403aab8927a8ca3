package webhook

import (
	"container/list"
	"sync"
)

// perStream is the minimum that a request over HTTP/2 counts for: a connection can have hundreds
// of them, and each costs more memory than a small body.
const perStream = 16 << 10

// leastBudget is the memory for all unverified bodies together, unless MaxBody requires more.
const leastBudget = 64 << 20

// A budget bounds the memory of unverified bodies, except those in a slab. Above three quarters, a
// new claim evicts the oldest holders, so that a slow sender cannot starve the others. The last
// quarter covers the time until they have left.
type budget struct {
	mu      sync.Mutex // held for a few instructions
	bytes   int        // claimed
	leaving int        // of these, claimed by exchanges that are being evicted
	holders list.List  // of *exchange: those that can be evicted, the oldest first
}

// A share is the part of an exchange in the budget, whose mu guards it.
type share struct {
	made  bool // used by the exchange's goroutine only
	bytes int
	place *list.Element // in holders; nil if it is not there
}

// hold claims n bytes for the exchange, in place of its previous share.
func (x *exchange) hold(n int) error {
	if x.r.ProtoMajor >= 2 {
		n = max(n, perStream)
	}
	if n <= slabLargest {
		return nil
	}
	x.held.made = true
	return x.hook.budget.take(x, n, max(leastBudget, 4*x.hook.maxBody()))
}

// release ends the claim of x. It may be called more than once.
func (x *exchange) release() {
	if x.held.made {
		x.hook.budget.put(x)
		x.held.made = false
	}
}

// take makes n bytes the claim of x, if all claims together stay within most.
func (b *budget) take(x *exchange, n, most int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := n - x.held.bytes
	if x.dismissed || b.bytes+more > most {
		return errCrowded
	}
	for b.bytes-b.leaving+more > most-most/4 && b.holders.Len() > 0 {
		first := b.holders.Front().Value.(*exchange)
		if first == x && b.holders.Len() == 1 {
			break // there is no other to evict
		}
		if first == x {
			return errCrowded
		}
		b.remove(first)
		if first.dismiss() {
			b.leaving += first.held.bytes
		}
	}
	if x.held.place == nil {
		x.held.place = b.holders.PushBack(x)
	}
	b.bytes += more
	x.held.bytes = n
	return nil
}

// put ends the claim of x.
func (b *budget) put(x *exchange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= x.held.bytes
	if x.dismissed {
		b.leaving -= x.held.bytes
	}
	x.held.bytes = 0
	b.remove(x)
}

// remove removes x from the holders.
func (b *budget) remove(x *exchange) {
	if x.held.place != nil {
		b.holders.Remove(x.held.place)
		x.held.place = nil
	}
}
