package window

import (
	"sync"
	"testing"
)

func TestSettledCountsOutOfOrder(t *testing.T) {
	const n = 3*scanSize + 7
	w := New(n, 1<<20)
	fill(t, w, 0, n)
	evs := claimAll(w)
	expect := func(events, last uint64) {
		t.Helper()
		if e, l := w.Settled(); e != events || l != last {
			t.Errorf("Settled: got %d up to %d, want %d up to %d", e, l, events, last)
		}
	}
	expect(0, 0)
	for _, i := range []int{5, scanSize + 1, n - 1} {
		w.Settle(&evs[i].Claim)
	}
	expect(3, n)
	for i := range scanSize {
		w.Settle(&evs[i].Claim)
	}
	expect(scanSize+2, n)
	if b := w.Backlog(); b.Events != n-scanSize || b.Bytes != n-scanSize || b.Oldest.Token != evs[scanSize].Token || b.Attempt != 1 {
		t.Errorf("Backlog: got %d events, %d bytes, oldest %s in attempt %d, want %d, %[5]d, %s, 1", b.Events, b.Bytes, b.Oldest.Token, b.Attempt, n-scanSize, evs[scanSize].Token)
	}
	for i := range n {
		w.Settle(&evs[i].Claim)
	}
	expect(n, n)
}

// Settled releases its lock between two parts: what it counts never shrinks while low moves.
func TestSettledWhileLowMoves(t *testing.T) {
	const n = 8 * scanSize
	w := New(n, 1<<20)
	fill(t, w, 0, n)
	evs := claimAll(w)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range evs {
			w.Settle(&evs[len(evs)-1-i].Claim)
			w.sweep()
		}
	})
	for before := uint64(0); before < n; {
		events, last := w.Settled()
		if events < before || events > last {
			t.Fatalf("Settled: got %d up to %d after %d, want no fewer", events, last, before)
		}
		before = events
	}
	group.Wait()
}
