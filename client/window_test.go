package client

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fill stages and publishes events with the tokens from..to-1 and one byte of data.
func fill(t testing.TB, w *window, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if !w.fits(1) {
			t.Fatalf("no room for event %d", i)
		}
		put(w, Event{Token: strconv.Itoa(i), Data: []byte{byte(i)}}, true)
	}
	w.publish()
}

func put(w *window, ev Event, event bool) {
	if event {
		w.stage(&ev)
	} else {
		w.stagePosition(ev.Token)
	}
}

func take(w *window) (ev Event, ok bool) {
	ok = w.claim(&ev)
	return ev, ok
}

func claimAll(w *window) (evs []Event) {
	for {
		ev, ok := take(w)
		if !ok {
			return evs
		}
		evs = append(evs, ev)
	}
}

func TestLowMarkIsContiguous(t *testing.T) {
	w := newWindow(nil, 100, 1000)
	put(w, Event{Token: "start"}, false)
	fill(t, w, 0, 70)
	evs := claimAll(w)
	if len(evs) != 70 {
		t.Fatalf("claimed %d events, want 70", len(evs))
	}
	steps := []struct {
		settle []int
		want   mark
	}{
		{nil, mark{1, "start", 0, 0}},
		{[]int{1, 2, 40}, mark{1, "start", 0, 0}},
		{[]int{0}, mark{4, "2", 3, 3}},
		{[]int{0, 1}, mark{4, "2", 3, 3}}, // a second ack changes nothing
		{[]int{69}, mark{4, "2", 3, 3}},
	}
	for i, s := range steps {
		for _, n := range s.settle {
			w.settle(&evs[n])
		}
		if got := w.sweep(); got != s.want {
			t.Errorf("step %d: low mark %+v, want %+v", i, got, s.want)
		}
	}
	for n := range evs {
		w.settle(&evs[n])
	}
	if got := w.sweep(); got.seq != 71 || got.token != "69" || got.events != 70 {
		t.Errorf("low mark %+v when everything is settled", got)
	}
}

func TestWindowIsBounded(t *testing.T) {
	t.Run("by count", func(t *testing.T) {
		w := newWindow(nil, 3, 1000)
		fill(t, w, 0, 3)
		if w.fits(0) {
			t.Fatal("a fourth event fits into a window of three")
		}
		evs := claimAll(w)
		w.settle(&evs[2])
		if w.fits(0) {
			t.Fatal("an event fits although the oldest one is not settled")
		}
		w.settle(&evs[0])
		if !w.fits(0) {
			t.Fatal("no room after the oldest event was settled")
		}
	})
	t.Run("by bytes", func(t *testing.T) {
		w := newWindow(nil, 100, 10)
		if !w.fits(1000) {
			t.Fatal("an event larger than the bound must fit when it is alone")
		}
		put(w, Event{Data: make([]byte, 6)}, true)
		w.publish()
		if w.fits(5) || !w.fits(4) {
			t.Fatal("want room for 4 bytes more and not for 5")
		}
		ev, _ := take(w)
		w.settle(&ev)
		if !w.fits(10) {
			t.Fatal("no room after everything was settled")
		}
	})
}

func TestReturnedEventComesAgain(t *testing.T) {
	w := newWindow(nil, 10, 100)
	fill(t, w, 0, 3)
	evs := claimAll(w)
	now := time.Now()
	if !w.giveBack(&evs[1], now) || !w.giveBack(&evs[0], now) || !w.giveBack(&evs[2], now.Add(time.Hour)) {
		t.Fatal("an event in hand could not be given back")
	}
	again := claimAll(w)
	if len(again) != 2 || again[0].Token != "0" || again[1].Token != "1" || again[0].Attempt != 2 {
		t.Fatalf("claimed again: %v; want events 0 and 1, oldest first, in their second attempt", again)
	}
	if w.settle(&evs[0]) {
		t.Error("an old copy of the event settled it while somebody else has it in hand")
	}
	if !w.settle(&again[0]) || w.sweep().seq != 1 {
		t.Error("the copy in hand did not settle the event")
	}
	if due, ok := w.nextReturn(); !ok || !due.Equal(now.Add(time.Hour)) {
		t.Errorf("next return %v %v, want in an hour", due, ok)
	}
}

func TestLateAckOfAReusedSlot(t *testing.T) {
	w := newWindow(nil, 1, 10)
	fill(t, w, 0, 1)
	first, _ := take(w)
	w.settle(&first)
	n := len(w.segments) * segmentSize // until the same slot is in use again
	for i := 1; i < n; i++ {
		fill(t, w, i, i+1)
		ev, _ := take(w)
		w.settle(&ev)
	}
	fill(t, w, n, n+1)
	ev, ok := take(w)
	if !ok || w.settle(&first) {
		t.Fatal("an ack that comes late settled another event")
	}
	if w.sweep().seq != uint64(n) || !w.settle(&ev) {
		t.Fatal("the event in the slot is not the one that counts")
	}
}

func TestWindowLetsGo(t *testing.T) {
	w := newWindow(nil, 1024, 1<<20)
	for i := range 10 {
		fill(t, w, i*100, i*100+100)
		for _, ev := range claimAll(w) {
			w.settle(&ev)
		}
		w.sweep()
	}
	held := 0
	for i := range w.segments {
		if w.segments[i].Load() != nil {
			held++
		}
	}
	if held > 16 {
		t.Errorf("an empty window holds %d segments", held)
	}
}

// TestWindowUnderLoad lets a producer and several consumers work against each other:
// every event must be handed out, in order for each consumer, and the low mark must
// reach the end without ever passing an event that is not settled.
func TestWindowUnderLoad(t *testing.T) {
	const events, consumers = 5000, 4
	w := newWindow(nil, 64, 1<<20)
	var settled [events]atomic.Bool
	var left atomic.Int64
	left.Store(events)
	var wg sync.WaitGroup
	for c := range consumers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(c)))
			last := -1
			var hand []Event
			for left.Load() > 0 {
				ev, ok := take(w)
				if ok {
					n, _ := strconv.Atoi(ev.Token)
					if ev.Attempt == 1 && n < last {
						t.Errorf("consumer %d: event %d after %d", c, n, last)
					}
					last = max(last, n)
					hand = append(hand, ev)
				}
				if len(hand) == 0 || ok && len(hand) < 8 && rng.IntN(2) == 0 {
					continue
				}
				i := rng.IntN(len(hand))
				ev = hand[i]
				hand = append(hand[:i], hand[i+1:]...)
				if rng.IntN(10) == 0 {
					w.giveBack(&ev, time.Time{})
					continue
				}
				n, _ := strconv.Atoi(ev.Token)
				settled[n].Store(true)
				if !w.settle(&ev) {
					t.Errorf("consumer %d: event %d was settled before", c, n)
				}
				left.Add(-1)
			}
		})
	}
	passed := 0
	check := func(low mark) {
		for ; passed < int(low.seq); passed++ {
			if !settled[passed].Load() {
				t.Errorf("the low mark passed event %d, which is not settled", passed)
			}
		}
	}
	for i := range events {
		for !w.fits(0) {
			w.full.Store(true)
			if !w.fits(0) {
				<-w.space
			}
			w.full.Store(false)
		}
		put(w, Event{Token: strconv.Itoa(i)}, true)
		if i%7 == 0 {
			w.publish()
			check(w.sweep())
		}
	}
	w.publish()
	wg.Wait()
	check(w.sweep())
	if passed != events {
		t.Errorf("the low mark stands at %d of %d", passed, events)
	}
}

// TestPositionsUnderLoad mixes mere positions with events, in a window so small that the
// producer waits for what consumers and sweeps of others pass.
func TestPositionsUnderLoad(t *testing.T) {
	const positions, consumers = 20000, 3
	w := newWindow(nil, 8, 1<<20)
	events := 0
	for i := range positions {
		if i%5 == 0 {
			events++
		}
	}
	var left atomic.Int64
	left.Store(int64(events))
	var wg sync.WaitGroup
	for range consumers {
		wg.Go(func() {
			for left.Load() > 0 {
				if ev, ok := take(w); !ok {
					runtime.Gosched()
				} else if n, _ := strconv.Atoi(ev.Token); n%5 != 0 {
					t.Errorf("position %d was handed out", n)
				} else if !w.settle(&ev) {
					t.Errorf("event %d was handed out twice", n)
				} else {
					left.Add(-1)
				}
			}
		})
	}
	wg.Go(func() {
		for left.Load() > 0 {
			if low := w.sweep(); low.seq > w.next.Load() {
				t.Errorf("the low mark %d has passed what is next", low.seq)
			}
			runtime.Gosched()
		}
	})
	for i := range positions {
		if !w.fits(0) {
			w.publish()
			w.full.Store(true)
			for !w.fits(0) {
				<-w.space
			}
			w.full.Store(false)
		}
		put(w, Event{Token: strconv.Itoa(i)}, i%5 == 0)
		if i%3 == 0 {
			w.publish()
		}
	}
	w.publish()
	wg.Wait()
	claimAll(w) // what was published behind the last event
	want := mark{positions, strconv.Itoa(positions - 1), uint64(events), 0}
	if got := w.sweep(); got != want {
		t.Errorf("low mark %+v, want %+v", got, want)
	}
}

func TestWindowDoesNotAllocate(t *testing.T) {
	w := newWindow(nil, 1024, 1<<20)
	ev := Event{Token: "t", Data: make([]byte, 100)}
	round := func() {
		for range 100 {
			w.fits(len(ev.Data))
			put(w, ev, true)
		}
		w.publish()
		for {
			ev, ok := take(w)
			if !ok {
				break
			}
			w.settle(&ev)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations for 100 events, want none", n)
	}
}

func BenchmarkWindow(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			w := newWindow(nil, 1024, 1<<20)
			ev := Event{Token: "t", Data: make([]byte, 100)}
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				for range batch {
					w.fits(len(ev.Data))
					put(w, ev, true)
				}
				w.publish()
				for {
					ev, ok := take(w)
					if !ok {
						break
					}
					w.settle(&ev)
				}
			}
		})
	}
}
