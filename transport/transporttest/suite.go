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
	skipped := 0
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			defer count(t, &skipped)
			c.verify(t, start, tardy)
		})
	}
	mustRun(t, skipped)
}

// count counts a check that was skipped.
func count(t *testing.T, skipped *int) {
	if t.Skipped() {
		*skipped++
	}
}

// mustRun fails if every check was skipped: a suite that verifies nothing must not pass.
func mustRun(t *testing.T, skipped int) {
	t.Helper()
	if skipped == len(checks) {
		t.Error("start returned nil for every script: want a Transport for at least one")
	}
}

// RunInBubble is Run with each check in a bubble of testing/synctest. start is called with the
// testing.TB of the bubble.
func RunInBubble(t *testing.T, start Start) {
	skipped := 0
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil { // goroutines are left in the bubble
					t.Errorf("%v", p)
				}
			}()
			before := skipped
			synctest.Test(t, func(t *testing.T) {
				defer count(t, &skipped)
				c.verify(t, start, prompt)
			})
			if skipped > before { // package testing does not pass it on
				t.Skip(unsupported)
			}
		})
	}
	mustRun(t, skipped)
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
