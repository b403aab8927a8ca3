package webhook

import (
	"net"
	"time"
)

// LimitListener is what bounds the connections of a Receiver's own listener.
func LimitListener(l net.Listener, most int) net.Listener { return newLimitedListener(l, most) }

// Memory is what a Receiver remembers of one provider.
type Memory struct{ memory }

func NewMemory(most int) *Memory                                      { return &Memory{memory{most: most}} }
func (m *Memory) StartAt(number uint32)                               { m.from = number }
func (m *Memory) Places() int                                         { return max(len(m.ring), len(m.index)/2) }
func (m *Memory) Add(k [2]uint64, now, until time.Duration)           { m.add(k, now, until) }
func (m *Memory) Until(k [2]uint64) (until time.Duration, known bool) { return m.until(k) }

// Unverified is how many bytes of the budget are taken, and how many can be made to leave.
func (w *Receiver) Unverified() (bytes, listed int) {
	w.budget.mu.Lock()
	defer w.budget.mu.Unlock()
	if w.budget.leaving > w.budget.bytes {
		panic("more leave than there are")
	}
	return w.budget.bytes, w.budget.holders.Len()
}

// Attempts is what a Receiver counts of one provider.
type Attempts struct{ attempts }

func (a *Attempts) Bound(most int)     { a.most = most }
func (a *Attempts) Add(k [2]uint64)    { a.add(k) }
func (a *Attempts) Forget(k [2]uint64) { a.forget(k) }
func (a *Attempts) Of(k [2]uint64) int { return a.of(k) }
func (a *Attempts) Len() int           { return len(a.counts) }
