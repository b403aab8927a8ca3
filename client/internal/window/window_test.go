package window

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An event is one that a consumer has claimed.
type event struct {
	Claim
	*Slot
}

// fill stages and publishes events with the tokens from..to-1 and one byte of data.
func fill(t testing.TB, w *Window, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if !w.Fits(1) {
			t.Fatalf("Fits: got false for event %d, want true", i)
		}
		w.Stage(&Entry{Token: strconv.Itoa(i), Data: []byte{byte(i)}})
	}
	w.publish()
}

func claim(w *Window) (e event, ok bool) {
	e.Slot = w.Claim(&e.Claim)
	return e, e.Slot != nil
}

func claimAll(w *Window) (es []event) {
	for {
		e, ok := claim(w)
		if !ok {
			return es
		}
		es = append(es, e)
	}
}

// heldSegments returns the number of segments in the directory.
func heldSegments(w *Window) (n int) {
	held := make(map[*segment]bool)
	for i := range *w.directory.Load() {
		if seg := (*w.directory.Load())[i].Load(); seg != nil {
			held[seg] = true
		}
	}
	return len(held)
}

func TestLowMarkIsContiguous(t *testing.T) {
	w := New(100, 1000)
	w.StagePosition("start")
	fill(t, w, 0, 70)
	evs := claimAll(w)
	if len(evs) != 70 {
		t.Fatalf("got %d events, want 70", len(evs))
	}
	steps := []struct {
		settle []int
		want   mark
	}{
		{nil, mark{0, "start", 0}},
		{[]int{1, 2, 40}, mark{0, "start", 0}},
		{[]int{0}, mark{3, "2", 3}},
		{[]int{0, 1}, mark{3, "2", 3}}, // a second ack changes nothing
		{[]int{69}, mark{3, "2", 3}},
	}
	for i, s := range steps {
		for _, n := range s.settle {
			w.Settle(&evs[n].Claim)
		}
		if got := w.sweep(); got != s.want {
			t.Errorf("step %d: low mark %+v, want %+v", i, got, s.want)
		}
	}
	for n := range evs {
		w.Settle(&evs[n].Claim)
	}
	if got := w.sweep(); got.seq != 70 || got.token != "69" {
		t.Errorf("low mark when everything is settled: got %+v, want 70 at token 69", got)
	}
}

func TestWindowIsBounded(t *testing.T) {
	t.Run("by count", func(t *testing.T) {
		w := New(3, 1000)
		fill(t, w, 0, 3)
		if w.Fits(0) {
			t.Fatal("Fits: got true for a fourth event in a window for three, want false")
		}
		evs := claimAll(w)
		w.Settle(&evs[2].Claim)
		if w.Fits(0) {
			t.Fatal("Fits: got true before the oldest event is settled, want false")
		}
		w.Settle(&evs[0].Claim)
		if !w.Fits(0) {
			t.Fatal("Fits: got false after the oldest event was settled, want true")
		}
	})
	t.Run("by bytes", func(t *testing.T) {
		w := New(100, 10)
		if !w.Fits(1000) {
			t.Fatal("Fits: got false for a large event alone, want true")
		}
		w.Stage(&Entry{Data: make([]byte, 6)})
		w.publish()
		if w.Fits(5) || !w.Fits(4) {
			t.Fatal("Fits: got another limit, want space for 4 more bytes and not for 5")
		}
		ev, _ := claim(w)
		w.Settle(&ev.Claim)
		if !w.Fits(10) {
			t.Fatal("Fits: got false after everything was settled, want true")
		}
	})
}

func TestReturnedEventIsClaimedAgain(t *testing.T) {
	w := New(10, 100)
	fill(t, w, 0, 3)
	evs := claimAll(w)
	now := time.Now()
	if !w.GiveBack(&evs[1].Claim, now) || !w.GiveBack(&evs[0].Claim, now) || !w.GiveBack(&evs[2].Claim, now.Add(time.Hour)) {
		t.Fatal("GiveBack of a claimed event: got false, want true")
	}
	again := claimAll(w)
	if len(again) != 2 || again[0].Token != "0" || again[1].Token != "1" || again[0].attempt != 2 {
		t.Fatalf("got %v again, want events 0 and 1, oldest first, in their second attempt", again)
	}
	if w.Settle(&evs[0].Claim) {
		t.Error("Settle by an earlier claim: got true, want false")
	}
	if !w.Settle(&again[0].Claim) || w.sweep().seq != 1 {
		t.Error("Settle by the current claim: got no effect, want the event settled")
	}
	if due, ok := w.nextReturn(); !ok || !due.Equal(now.Add(time.Hour)) {
		t.Errorf("next return: got %v, %t, want in an hour", due, ok)
	}
}

func TestLateClaimOfAReusedSlotDoesNothing(t *testing.T) {
	w := New(1, 10)
	fill(t, w, 0, 1)
	first, _ := claim(w)
	w.Settle(&first.Claim)
	n := len(*w.directory.Load()) * segmentSize // until the same slot is in use again
	for i := 1; i < n; i++ {
		fill(t, w, i, i+1)
		ev, _ := claim(w)
		w.Settle(&ev.Claim)
	}
	fill(t, w, n, n+1)
	ev, ok := claim(w)
	if !ok || w.Settle(&first.Claim) {
		t.Fatal("Settle by a claim of a reused slot: got true, want false")
	}
	if w.sweep().seq != uint64(n) || !w.Settle(&ev.Claim) {
		t.Fatal("Settle by the claim of the event in the slot: got no effect, want it settled")
	}
}

func TestWindowReleasesSegments(t *testing.T) {
	w := New(1024, 1<<20)
	for i := range 10 {
		fill(t, w, i*100, i*100+100)
		for _, ev := range claimAll(w) {
			w.Settle(&ev.Claim)
		}
		w.sweep()
	}
	if held := heldSegments(w); held > 16 {
		t.Errorf("empty window: got %d segments, want at most 16", held)
	}
}

// A producer and several consumers work at the same time: every event must be claimed, in order for
// each consumer, and the low mark must reach the end without passing an event that is not settled.
func TestWindowUnderLoad(t *testing.T) {
	const events, consumers = 5000, 4
	w := New(64, 1<<20)
	var settled [events]atomic.Bool
	var left atomic.Int64
	left.Store(events)
	var wg sync.WaitGroup
	for c := range consumers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(c)))
			last := -1
			var held []event
			for left.Load() > 0 {
				ev, ok := claim(w)
				if ok {
					n, _ := strconv.Atoi(ev.Token)
					if ev.attempt == 1 && n < last {
						t.Errorf("consumer %d: got event %d after %d, want them in order", c, n, last)
					}
					last = max(last, n)
					held = append(held, ev)
				}
				if !ok {
					runtime.Gosched()
				}
				if len(held) == 0 || ok && len(held) < 8 && rng.IntN(2) == 0 {
					continue
				}
				i := rng.IntN(len(held))
				ev = held[i]
				held = append(held[:i], held[i+1:]...)
				if rng.IntN(10) == 0 {
					w.GiveBack(&ev.Claim, time.Time{})
					continue
				}
				n, _ := strconv.Atoi(ev.Token)
				settled[n].Store(true)
				if !w.Settle(&ev.Claim) {
					t.Errorf("consumer %d: got event %d, want one that is not settled", c, n)
				}
				left.Add(-1)
			}
		})
	}
	passed := 0
	check := func(low mark) {
		for ; passed < int(low.seq); passed++ {
			if !settled[passed].Load() {
				t.Errorf("got the low mark after event %d, which is not settled", passed)
			}
		}
	}
	for i := range events {
		for !w.Fits(0) {
			space, release := w.Press()
			if !w.Fits(0) {
				<-space
			}
			release()
		}
		w.Stage(&Entry{Token: strconv.Itoa(i)})
		if i%7 == 0 {
			w.publish()
			check(w.sweep())
		}
	}
	w.publish()
	wg.Wait()
	check(w.sweep())
	if passed != events {
		t.Errorf("low mark: got %d, want %d", passed, events)
	}
}

// Far more positions than the window has slots are staged before, between and after events.
func TestPositionsTakeNoSlot(t *testing.T) {
	w := New(2, 100)
	positions := func(name string) {
		for i := range 5000 {
			w.StagePosition(name + strconv.Itoa(i))
			if i%100 == 0 {
				w.publish()
			}
		}
		w.publish()
	}
	low := func(want mark) {
		t.Helper()
		if got := w.sweep(); got != want {
			t.Errorf("low mark %+v, want %+v", got, want)
		}
	}
	positions("a")
	low(mark{0, "a4999", 0})
	fill(t, w, 0, 1)
	positions("b")
	low(mark{0, "a4999", 0})
	fill(t, w, 1, 2)
	positions("c")
	if w.Fits(0) || heldSegments(w) > 1 {
		t.Errorf("two claimed events: got Fits %v and %d segments, want false and 1", w.Fits(0), heldSegments(w))
	}
	evs := claimAll(w)
	if len(evs) != 2 {
		t.Fatalf("got %d events, want 2", len(evs))
	}
	low(mark{0, "a4999", 0})
	w.Settle(&evs[0].Claim)
	low(mark{1, "b4999", 1}) // the position before the claimed one
	w.Settle(&evs[1].Claim)
	low(mark{2, "c4999", 2})
	positions("d")
	low(mark{2, "d4999", 2})
	if n := w.Backlog().Events; n != 0 {
		t.Errorf("Backlog: got %d events in an empty window, want none", n)
	}
}

// Positions and events are mixed in a window so small that the producer waits for space, while
// other goroutines sweep: the low mark never has the token of a position after an event that is not
// settled.
func TestPositionsUnderLoad(t *testing.T) {
	const positions, consumers = 20000, 3
	w := New(8, 1<<20)
	events := (positions + 4) / 5
	settled := make([]atomic.Bool, positions)
	var left atomic.Int64
	left.Store(int64(events))
	var wg sync.WaitGroup
	for range consumers {
		wg.Go(func() {
			for left.Load() > 0 {
				ev, ok := claim(w)
				if !ok {
					runtime.Gosched()
					continue
				}
				n, _ := strconv.Atoi(ev.Token)
				if n%5 != 0 {
					t.Errorf("got a claim of position %d, want only events", n)
				}
				settled[n].Store(true)
				if !w.Settle(&ev.Claim) {
					t.Errorf("got event %d twice, want once", n)
				}
				left.Add(-1)
			}
		})
	}
	wg.Go(func() {
		last := -1
		for left.Load() > 0 {
			low := w.sweep()
			n, err := strconv.Atoi(low.token)
			if err != nil {
				n = -1
			}
			if n < last {
				t.Errorf("got the low mark at %[2]d after %[1]d, want no step back", last, n)
			}
			for last = max(last, 0); last <= n; last++ {
				if last%5 == 0 && !settled[last].Load() {
					t.Errorf("got the low mark at %d, but event %d is not settled", n, last)
				}
			}
			last = n
			runtime.Gosched()
		}
	})
	for i := range positions {
		isEvent := i%5 == 0
		if isEvent && !w.Fits(0) {
			w.publish()
			space, release := w.Press()
			for !w.Fits(0) {
				<-space
			}
			release()
		}
		if isEvent {
			w.Stage(&Entry{Token: strconv.Itoa(i)})
		} else {
			w.StagePosition(strconv.Itoa(i))
		}
		if i%3 == 0 {
			w.publish()
		}
	}
	w.publish()
	wg.Wait()
	want := mark{uint64(events), strconv.Itoa(positions - 1), 0}
	if got := w.sweep(); got != want {
		t.Errorf("low mark %+v, want %+v", got, want)
	}
}

// The number of comparisons that returned events cost grows with n log n.
func TestReturnsAreFoundQuickly(t *testing.T) {
	for _, n := range []int{500, 8000} {
		w := New(n, 1<<20)
		compared := 0
		for _, q := range []*queue{&w.returned.waiting, &w.returned.due} {
			before := q.before
			q.before = func(a, b *returned) bool { compared++; return before(a, b) }
		}
		fill(t, w, 0, n)
		evs := claimAll(w)
		start := time.Now()
		for _, i := range rand.Perm(n) {
			w.GiveBack(&evs[i].Claim, start.Add(time.Duration(i%7)*time.Nanosecond))
			w.nextReturn()
		}
		for i := range n {
			ev, ok := claim(w)
			if !ok || ev.Token != strconv.Itoa(i) || ev.attempt != 2 {
				t.Fatalf("got %q, %v, attempt %d, want %d", ev.Token, ok, ev.attempt, i)
			}
			w.nextReturn()
		}
		if limit := 8 * n * bits.Len(uint(n)); compared > limit {
			t.Errorf("%d events: got %d comparisons, want at most %d", n, compared, limit)
		}
	}
}

func TestWindowDoesNotAllocate(t *testing.T) {
	w := New(1024, 1<<20)
	ev := Entry{Token: "t", Data: make([]byte, 100)}
	round := func() {
		for range 100 {
			w.Fits(len(ev.Data))
			w.Stage(&ev)
		}
		w.publish()
		for {
			ev, ok := claim(w)
			if !ok {
				break
			}
			w.Settle(&ev.Claim)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("got %v allocations for 100 events, want none", n)
	}
}

// A feed whose consumer keeps up holds one segment, however long it runs.
func TestSlowFeedHoldsOneSegment(t *testing.T) {
	w := New(1024, 1<<20)
	for i := range 20 * segmentSize {
		fill(t, w, i, i+1)
		ev, _ := claim(w)
		w.Settle(&ev.Claim)
	}
	if held, size := heldSegments(w), len(*w.directory.Load()); held != 1 || size != leastSegments {
		t.Errorf("slow feed: got %d segments in a directory of %d, want 1 in %d", held, size, leastSegments)
	}
}

func BenchmarkWindow(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			w := New(1024, 1<<20)
			ev := Entry{Token: "t", Data: make([]byte, 100)}
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				for range batch {
					w.Fits(len(ev.Data))
					w.Stage(&ev)
				}
				w.publish()
				for {
					ev, ok := claim(w)
					if !ok {
						break
					}
					w.Settle(&ev.Claim)
				}
			}
		})
	}
}

// BenchmarkRefused returns an event and claims it again, while others wait.
func BenchmarkRefused(b *testing.B) {
	for _, backlog := range []int{0, 1000, 10000, 100000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			w := New(backlog+1, 1<<30)
			fill(b, w, 0, backlog+1)
			evs := claimAll(w)
			for i := range backlog {
				w.GiveBack(&evs[i].Claim, time.Now().Add(time.Hour))
			}
			ev := evs[backlog]
			b.ReportAllocs()
			for b.Loop() {
				w.GiveBack(&ev.Claim, time.Time{})
				w.nextReturn()
				w.Claim(&ev.Claim)
			}
		})
	}
}
