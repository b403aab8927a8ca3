package client

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDoze follows a consumer of a busy feed: it looks for events by itself for a moment
// and is woken before that only when half of the window is full.
func TestDoze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := &Subscription{ctx: ctx, over: make(chan struct{})}
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

		publish(manyEvents)
		expect(manyEvents, 0)
		publish(1)
		expect(0, 0)
		time.Sleep(doze)
		expect(1, doze)

		publish(manyEvents)
		expect(manyEvents, 0)
		publish(100)
		expect(100, 0)

		time.Sleep(2 * doze)
		publish(1)
		expect(1, 0)

		cancel(ErrClosed)
		<-done
	})
}
