package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

func newTimers() *timers {
	return &timers{now: time.Now, pending: make(map[*deadline]struct{})}
}

func TestTimersStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTimers()
		start, fired := time.Now(), time.Duration(0)
		ts.after(time.Minute, func() { fired = time.Since(start) })
		ts.stop(ts.after(time.Second, func() { t.Error("got a call after stop") }))
		ts.stop(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if fired != time.Minute {
			t.Errorf("got a call after %v, want 1m", fired)
		}
		if n := len(ts.pending); n != 0 {
			t.Errorf("got %d pending timers, want none", n)
		}
	})
}

// Close waits for what has been called and prevents everything else.
func TestTimersClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTimers()
		var ended time.Time
		ts.after(time.Second, func() {
			time.Sleep(time.Minute)
			ended = time.Now()
		})
		ts.after(2*time.Second, func() { t.Error("got a call after close") })
		time.Sleep(time.Second)
		synctest.Wait()
		ts.close()
		ts.running.Wait()
		if ended.IsZero() {
			t.Error("running.Wait: got a return before the end of a call, want one after it")
		}
		if ts.after(time.Second, func() { t.Error("got a call started after close") }) != nil {
			t.Error("after: got a timer after close, want nil")
		}
		ts.spawn(func() { t.Error("got a goroutine started after close") })
		time.Sleep(time.Hour)
	})
}
