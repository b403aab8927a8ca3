package client

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDoze follows a consumer of a fast feed: it looks for events by itself for a moment
// and is woken before that only when half of the window is full.
func TestDoze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := &Subscription{ctx: ctx, loop: &loop{over: make(chan struct{})}}
		w := newWindow(s, 200, 1<<20)
		s.window = w
		var mu sync.Mutex
		var took []time.Duration // until each event, since it was published
		var published time.Time
		done := make(chan struct{})
		go func() {
			defer close(done)
			var ev Event
			for s.next(context.Background(), &ev) == nil {
				mu.Lock()
				took = append(took, time.Since(published))
				mu.Unlock()
				w.settle(&ev)
			}
		}()
		n := 0
		publish := func(events int) {
			synctest.Wait()
			published = time.Now()
			w.setBusy(true)
			fill(t, w, n, n+events)
			n += events
		}
		expect := func(events int, want time.Duration) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(took) != events {
				t.Fatalf("%d events were handed out, want %d", len(took), events)
			}
			for _, d := range took {
				if d != want {
					t.Errorf("an event was handed out after %v, want %v", d, want)
				}
			}
			took = nil
		}

		publish(10)
		expect(10, 0)
		publish(1)
		expect(0, 0)
		time.Sleep(doze)
		expect(1, doze)
		publish(100)
		expect(100, 0)

		time.Sleep(2 * doze)
		publish(1)
		expect(1, 0)

		cancel(ErrClosed)
		<-done
	})
}

func TestPace(t *testing.T) {
	start := time.Now()
	var p pace
	steps := []struct {
		received uint64
		at       time.Duration
		want     bool
	}{
		{1, 0, false},
		{10, 10 * fastEvery, false},
		{33, 31 * fastEvery, true},                        // 32 events in less than their time
		{40, 60 * fastEvery, true},                        // too few to judge
		{41, (31 + paceEvents + 1) * fastEvery, false},    // too few in too long
		{141, (31 + paceEvents + 200) * fastEvery, false}, // many at once, after a pause
		{241, (31 + paceEvents + 210) * fastEvery, true},
	}
	p.isFast(1, start)
	for _, s := range steps {
		if got := p.isFast(s.received, start.Add(s.at)); got != s.want {
			t.Errorf("%d events after %v: fast is %v, want %v", s.received, s.at, got, s.want)
		}
	}
}

// TestReturnedEventIsPassedOn: a batch that is handed out early, because the producer waits
// for space, leaves an event that was refused to a consumer that waits.
func TestReturnedEventIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		s := &Subscription{ctx: ctx, loop: &loop{over: make(chan struct{})}}
		s.window = newWindow(s, 16, 1<<20)
		fill(t, s.window, 0, 2)
		var refused Event
		s.window.claim(&refused)
		batch := make(chan []Event, 1)
		go func() {
			b, _ := s.nextBatch(16, time.Hour)
			batch <- b
		}()
		synctest.Wait()
		got := make(chan Event, 1)
		go func() {
			var ev Event
			s.next(context.Background(), &ev)
			got <- ev
		}()
		synctest.Wait()
		s.window.giveBack(&refused, time.Now().Add(time.Second)) // wakes who has waited longer
		synctest.Wait()
		s.window.press()
		if b := <-batch; len(b) != 1 {
			t.Fatalf("a batch of %d events", len(b))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(got) != 1 {
			t.Error("the refused event is not handed out although a consumer waits")
		}
	})
}
