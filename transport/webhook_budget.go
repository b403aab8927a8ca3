package transport

import (
	"container/list"
	"net/http"
	"sync"
	"time"
)

// perStream is what a request over HTTP/2 is counted as at least: of those there can be
// hundreds on each connection, and each costs more than a small body.
const perStream = 16 << 10

// leastBudget is what bodies may take up before they are verified, all together, if MaxBody
// does not call for more.
const leastBudget = 64 << 20

// A budget bounds the memory of bodies that nobody has vouched for yet, but for what is
// carved from a slab. From three quarters on, whoever takes some of it makes those leave who
// have had theirs for longest: a sender who is in no hurry cannot keep others out. The last
// quarter is for the time until they have left.
type budget struct {
	mu      sync.Mutex // held for a few instructions
	bytes   int        // that are held
	leaving int        // of them, by those who are about to leave
	holders list.List  // of *exchange: who can be made to, the oldest first
}

// A claim is what an exchange has of the budget, whose mu guards it.
type claim struct {
	made  bool // only the exchange's own goroutine sets it
	bytes int
	place *list.Element // among the holders; nil: none
}

// hold makes n bytes of buffer the exchange's own, instead of what it had before.
func (x *exchange) hold(n int) error {
	if x.r.ProtoMajor >= 2 {
		n = max(n, perStream)
	}
	if n <= slabLargest {
		return nil
	}
	x.claim.made = true
	return x.hook.budget.take(x, n, max(leastBudget, 4*x.hook.maxBody()))
}

// release gives back what x holds. It can be called again.
func (x *exchange) release() {
	if x.claim.made {
		x.hook.budget.put(x)
		x.claim.made = false
	}
}

// take lets x have n bytes, within most of all together.
func (b *budget) take(x *exchange, n, most int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := n - x.claim.bytes
	if x.dismissed || b.bytes+more > most {
		return errCrowded
	}
	for b.bytes-b.leaving+more > most-most/4 && b.holders.Len() > 0 {
		first := b.holders.Front().Value.(*exchange)
		if first == x && b.holders.Len() == 1 {
			break // nobody else could leave
		}
		if first == x {
			return errCrowded
		}
		b.remove(first)
		if first.dismiss() {
			b.leaving += first.claim.bytes
		}
	}
	if x.claim.place == nil {
		x.claim.place = b.holders.PushBack(x)
	}
	b.bytes += more
	x.claim.bytes = n
	return nil
}

// put takes back what x has.
func (b *budget) put(x *exchange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= x.claim.bytes
	if x.dismissed {
		b.leaving -= x.claim.bytes
	}
	x.claim.bytes = 0
	b.remove(x)
}

// dismiss ends the reading of a body. It reports false if it cannot: because all of it has
// come, or the server does not know how to. Its caller holds budget.mu.
func (x *exchange) dismiss() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.phase == reading {
		x.dismissed = http.NewResponseController(x.rw).SetReadDeadline(time.Now()) == nil
	}
	return x.dismissed
}

// remove makes x no longer one who can be made to leave.
func (b *budget) remove(x *exchange) {
	if x.claim.place != nil {
		b.holders.Remove(x.claim.place)
		x.claim.place = nil
	}
}
