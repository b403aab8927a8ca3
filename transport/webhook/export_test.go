package webhook

import (
	"net"
	"net/http"
	"net/netip"
	"time"
)

// LimitListener limits the connections of a Receiver's built-in listener.
func LimitListener(l net.Listener, most int) net.Listener { return newLimitedListener(l, most) }

// SeenSet is the set of ids that a Receiver remembers for one provider.
type SeenSet struct{ seenSet }

func NewSeenSet(most int) *SeenSet                                     { return &SeenSet{seenSet{most: most}} }
func (m *SeenSet) StartAt(number uint32)                               { m.from = number }
func (m *SeenSet) Places() int                                         { return max(len(m.ring), len(m.index)/2) }
func (m *SeenSet) Add(k [2]uint64, now, until time.Duration)           { m.add(k, now, until) }
func (m *SeenSet) Until(k [2]uint64) (until time.Duration, known bool) { return m.until(k) }

// Unverified returns how many bytes of the budget are taken, and how many bodies can be evicted.
func (w *Receiver) Unverified() (bytes, listed int) {
	w.budget.mu.Lock()
	defer w.budget.mu.Unlock()
	if w.budget.leaving > w.budget.bytes {
		panic("more leave than there are")
	}
	return w.budget.bytes, w.budget.holders.Len()
}

// Attempts counts the attempts of each delivery of one provider.
type Attempts struct{ attempts }

func (a *Attempts) Bound(most int)     { a.most = most }
func (a *Attempts) Add(k [2]uint64)    { a.add(k) }
func (a *Attempts) Forget(k [2]uint64) { a.forget(k) }
func (a *Attempts) Of(k [2]uint64) int { return a.of(k) }
func (a *Attempts) Len() int           { return len(a.counts) }

// Peer returns the address of a sender.
func (w *Receiver) Peer(r *http.Request) netip.Addr { return w.peer(r) }

// MatchPattern reports whether r matches the path, and returns the value of the wildcard x.
func MatchPattern(path string, r *http.Request) (x string, ok bool) {
	ok = patternsOf([]string{path})[0].match(r)
	return r.PathValue("x"), ok
}
