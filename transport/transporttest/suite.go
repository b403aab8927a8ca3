package transporttest

import (
	"testing"
	"testing/synctest"
	"time"
)

// Run checks the Transports that start returns, each check in a subtest of its own, by
// the real clock. What must return within a second may take five: the machine may have
// other work. RunInBubble is exact.
func Run(t *testing.T, start Start) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.verify(t, start, tardy) })
	}
}

// RunInBubble is Run with each check in a bubble of testing/synctest. The testing.TB that
// start is given is that of the bubble.
func RunInBubble(t *testing.T, start Start) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil { // a bubble that goroutines are left in
					t.Errorf("%v", p)
				}
			}()
			synctest.Test(t, func(t *testing.T) { c.verify(t, start, prompt) })
		})
	}
}

// A check is one promise of the contract.
type check struct {
	name   string
	script Script
	run    func(*probe)
}

// verify runs the check. Cleanups run in reverse: connections are closed, then the peer
// stops, and then nothing may be left.
func (c check) verify(t testing.TB, start Start, prompt time.Duration) {
	t.Helper()
	p := newProbe(t, c.script, prompt)
	t.Cleanup(p.checkGoroutines)
	if p.transport = start(t, c.script); p.transport == nil {
		t.Skip("this kind of feed has no such script")
	}
	t.Cleanup(p.release)
	p.mark()
	c.run(p)
}
