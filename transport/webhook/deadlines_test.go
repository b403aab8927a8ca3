package webhook

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// One timer serves all exchanges, also after it has run for one that ended early.
func TestDeadlinesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadlines
		start := time.Now()
		add := func(after time.Duration) *exchange {
			x := &exchange{req: provider.Request{Deadline: time.Now().Add(after)}}
			d.add(x)
			return x
		}
		first := add(time.Second)
		time.Sleep(500 * time.Millisecond)
		second, third := add(time.Second), add(time.Second)
		d.remove(first)
		d.remove(third)
		var expired []time.Duration
		for range 4 {
			synctest.Wait()
			if second.stopReading() {
				expired = append(expired, time.Since(start))
				break
			}
			time.Sleep(500 * time.Millisecond)
		}
		if want := []time.Duration{1500 * time.Millisecond}; !slices.Equal(expired, want) {
			t.Errorf("expired after %v, want %v", expired, want)
		}
		if first.stopReading() || third.stopReading() {
			t.Error("removed exchange: got it expired, want it not")
		}
		d.remove(second) // as every exchange does at its end
		last := add(time.Second)
		d.close()
		time.Sleep(time.Second)
		synctest.Wait()
		if !last.stopReading() {
			t.Error("exchange after close: got it not expired, want it expired")
		}
		d.remove(last)
		add(time.Hour)
		d.remove(d.list.Front().Value.(*exchange))
		if d.running {
			t.Error("got a running timer without an exchange after close, want none")
		}
	})
}
