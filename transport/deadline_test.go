package transport

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// fireLate fires the timer of l late, as the runtime does after a pause.
func (l *deadline) fireLate(pause time.Duration) {
	l.mu.Lock()
	l.timer.Stop()
	l.mu.Unlock()
	time.Sleep(pause)
	l.expire()
}

// Data that arrived during a pause of the process counts, whether the timer or the reader runs
// first, and whichever part of the deadline the pause began in.
func TestPauseIsNotSilence(t *testing.T) {
	const window = 20 * time.Second
	for name, before := range map[string]time.Duration{
		"at the start":     0,
		"in the last part": window - secondLook/2,
	} {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			dead := false
			watch := newWatch(r, window, func() { dead = true; r.CloseWithError(errIdle) })
			got := make(chan error, 1)
			go func() {
				_, err := io.ReadFull(watch, make([]byte, 1))
				got <- err
			}()
			time.Sleep(before)
			synctest.Wait()
			watch.silent.fireLate(time.Hour)
			w.Write([]byte("x")) // was in the socket during the pause
			if err := <-got; err != nil || dead {
				t.Errorf("%s: after a pause: got %v, expired %t, want nil, false", name, err, dead)
			}
		})
	}
}

// A pause delays the deadline and does not remove it.
func TestSilenceAfterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		watch := newWatch(r, 20*time.Second, func() { w.CloseWithError(errIdle) })
		got := make(chan error, 1)
		go func() {
			_, err := watch.Read(make([]byte, 1))
			got <- err
		}()
		synctest.Wait()
		watch.silent.fireLate(time.Hour)
		start := time.Now()
		if err := <-got; err != errIdle || time.Since(start) > 2*secondLook {
			t.Errorf("got %v after %v, want %v within %v", err, time.Since(start), errIdle, 2*secondLook)
		}
	})
}

// A response header may have arrived during a pause.
func TestPauseBeforeTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &deadline{fire: func() { t.Error("the deadline was reached") }}
		l.start(time.Now(), defaultHeaderTimeout)
		l.fireLate(time.Hour)
		if !l.stop() {
			t.Error("stop: got false, want true: the deadline was not reached")
		}
		if l.expire(); l.stop() {
			t.Error("stop after expire: got true, want false")
		}
	})
}

// A timer that fires during a restart does not shorten the new deadline.
func TestDeadlineRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired time.Time
		l := &deadline{fire: func() { fired = time.Now() }}
		l.start(time.Now(), time.Minute)
		time.Sleep(30 * time.Second)
		start := time.Now()
		l.start(start, time.Minute)
		l.expire() // of the first one
		time.Sleep(time.Hour)
		synctest.Wait()
		if d := fired.Sub(start); d != time.Minute {
			t.Errorf("reached after %v, want 1m", d)
		}
	})
}
