package window

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A consumer of a fast feed polls, and is woken before that only when half of the window is full.
func TestConsumerOfAFastFeedPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(200, 1<<20)
		var mu sync.Mutex
		var took []time.Duration // until each event was claimed, since it was published
		var published time.Time
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if e, ok := claim(w); ok {
					mu.Lock()
					took = append(took, time.Since(published))
					mu.Unlock()
					w.Settle(&e.Claim)
				} else {
					w.Wait(context.Background(), stop, false)
				}
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
				t.Fatalf("claimed %d events, want %d", len(took), events)
			}
			for _, d := range took {
				if d != want {
					t.Errorf("claimed an event after %v, want %v", d, want)
				}
			}
			took = nil
		}

		publish(10)
		expect(10, 0)
		publish(1)
		expect(0, 0)
		time.Sleep(pollAfter)
		expect(1, pollAfter)
		publish(100)
		expect(100, 0)

		time.Sleep(2 * pollAfter)
		publish(1)
		expect(1, 0)

		close(stop)
		<-done
	})
}

// A consumer that returns early because the producer waits for space leaves a returned event to a
// consumer that still waits.
func TestWakeUpIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(16, 1<<20)
		fill(t, w, 0, 1)
		refused, _ := claim(w)
		hurried := make(chan error, 1)
		go func() {
			err := w.Wait(context.Background(), nil, true) // woken by GiveBack
			if err == nil {
				err = w.Wait(context.Background(), nil, true) // waits until the event is due
			}
			hurried <- err
		}()
		synctest.Wait()
		got := make(chan event, 1)
		go func() {
			for {
				if e, ok := claim(w); ok {
					got <- e
					return
				}
				w.Wait(context.Background(), nil, false)
			}
		}()
		synctest.Wait()
		w.GiveBack(&refused.Claim, time.Now().Add(time.Second)) // wakes the one that has waited longer
		synctest.Wait()
		_, release := w.Press()
		defer release()
		if err := <-hurried; err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(got) != 1 {
			t.Errorf("got %d claims of the returned event, want 1", len(got))
		}
	})
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(16, 1<<20)
		fill(t, w, 0, 1)
		last, _ := claim(w)
		cause := errors.New("the caller's deadline")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if err := w.Wait(ctx, nil, false); err != cause {
			t.Errorf("Wait: %v, want the cause of its context", err)
		}
		w.GiveBack(&last.Claim, time.Now().Add(time.Minute))
		w.End()
		start := time.Now()
		for {
			if e, ok := claim(w); ok {
				w.Settle(&e.Claim)
				break
			}
			if err := w.Wait(t.Context(), nil, false); err != nil {
				t.Fatalf("Wait: %v before the returned event was due", err)
			}
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("claimed the returned event after %v, want 1m", took)
		}
		if err := w.Wait(t.Context(), nil, false); err != io.EOF {
			t.Errorf("Wait: %v after the end, want io.EOF", err)
		}
	})
}
