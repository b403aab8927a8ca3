package window

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// While alone, consumers get one event at a time, in order, also when one is given back. Afterwards,
// each waiting consumer gets one.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(10, 1000)
		w.SetAlone(true)
		fill(t, w, 0, 4)
		w.End()
		var inHand, most atomic.Int32
		got := make(chan string, 10)
		for range 3 {
			go func() {
				for {
					e, ok := claim(w)
					if !ok {
						if w.Wait(context.Background(), nil, false) == io.EOF {
							got <- "EOF"
							return
						}
						continue
					}
					if n := inHand.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					inHand.Add(-1)
					if got <- e.Token; e.Token == "0" && e.Attempt() == 1 {
						w.GiveBack(&e.Claim, time.Now().Add(time.Minute))
						continue
					}
					if w.Settle(&e.Claim); e.Token == "1" {
						if n := most.Load(); n != 1 {
							t.Errorf("got %d events in hand at once, want 1", n)
						}
						w.SetAlone(false)
					}
				}
			}()
		}
		start := time.Now()
		ends, order := 0, ""
		for range 8 {
			if token := <-got; token == "EOF" {
				ends++
			} else {
				order += token
			}
		}
		if order[:3] != "001" || len(order) != 5 || ends != 3 || most.Load() != 2 || time.Since(start) != 64*time.Second {
			t.Errorf("got %q, %d at once at last, and %d ends after %v, want 00123, 2, and 3 after 1m4s", order, most.Load(), ends, time.Since(start))
		}
	})
}
