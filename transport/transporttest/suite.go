package transporttest

import (
	"testing"
	"testing/synctest"
	"time"
)

// Run verifies the Transports that start returns, each check in its own subtest, by the real
// clock. What must return within one second may take five, because the machine may be busy.
// RunInBubble is exact.
func Run(t *testing.T, start Start) {
	runChecks(t, func(t *testing.T, c check) { c.verify(t, start, tardy) })
}

// RunInBubble is Run with each check in a bubble of testing/synctest. start is called with the
// testing.TB of the bubble.
func RunInBubble(t *testing.T, start Start) {
	runChecks(t, func(t *testing.T, c check) {
		inBubble(t, func(t *testing.T) { c.verify(t, start, prompt) })
	})
}

// runChecks runs each check in a subtest. It fails if all are skipped: a suite that verifies
// nothing must not pass.
func runChecks(t *testing.T, run func(*testing.T, check)) {
	t.Helper()
	skipped := 0
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if t.Skipped() {
					skipped++
				}
			}()
			run(t, c)
		})
	}
	if skipped == len(checks) {
		t.Error("start returned nil for every script: want a Transport for at least one")
	}
}

// inBubble runs f in a bubble. Goroutines that are left in the bubble fail t, and a skip in f skips
// t, which package testing does not pass on.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil { // goroutines are left
			t.Errorf("%v", p)
		}
	}()
	skipped := false
	synctest.Test(t, func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		f(t)
	})
	if skipped {
		t.Skip(unsupported)
	}
}

const unsupported = "the transport does not support this script"

// A check verifies one promise of the contract.
type check struct {
	name   string
	script Script
	run    func(*probe)
}

// verify runs the check. Cleanups run in reverse: connections are closed, then the peer stops,
// and then no goroutine may be left.
func (c check) verify(t testing.TB, start Start, prompt time.Duration) {
	t.Helper()
	p := newProbe(t, c.script, prompt)
	t.Cleanup(p.checkGoroutines)
	if p.transport = start(t, c.script); p.transport == nil {
		t.Skip(unsupported)
	}
	t.Cleanup(p.release)
	p.mark()
	c.run(p)
}
