package transport

import (
	"sync"
	"time"
)

// A limit calls fire when a peer has been silent for too long. It waits in two parts: the
// second starts only once the end of the first was observed, and is repeated if the process was
// paused meanwhile. So the reader always has time to read what arrived during a pause.
type limit struct {
	fire func()

	mu    sync.Mutex
	timer *time.Timer
	due   time.Time     // when the current part ends; zero if none runs
	rest  time.Duration // the part after it
}

// start restarts the limit: fire is called after d unless stop or start is called first.
func (l *limit) start(now time.Time, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = min(secondLook, d/2)
	l.due = now.Add(d - l.rest)
	if l.timer == nil {
		l.timer = time.AfterFunc(d-l.rest, l.expire)
	} else {
		l.timer.Reset(d - l.rest)
	}
}

// stop reports whether it prevented the call of fire.
func (l *limit) stop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	running := !l.due.IsZero()
	l.due = time.Time{}
	if running {
		l.timer.Stop()
	}
	return running
}

func (l *limit) expire() {
	if l.over(time.Now()) {
		l.fire()
	}
}

// over reports whether the limit is reached, and starts the next part if it is not.
func (l *limit) over(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := now.Sub(l.due)
	if l.due.IsZero() || late < 0 { // stopped or restarted while the timer fired
		return false
	}
	next := l.rest
	if next == 0 && overslept(late) {
		next = secondLook
	}
	if next == 0 {
		l.due = time.Time{}
		return true
	}
	l.rest = 0
	l.due = now.Add(next)
	l.timer.Reset(next)
	return false
}

// A process that was stopped (SIGSTOP, a frozen container), or a machine that was asleep, wakes
// up with overdue timers and unread bytes. So a timer that fires late does not give up the
// peer, but checks again after secondLook.
const (
	overdue    = 100 * time.Millisecond // longer than a busy machine delays a timer
	secondLook = time.Second            // long enough to read what has arrived
)

// overslept reports whether a timer that fires late was delayed by a pause.
func overslept(late time.Duration) bool { return late >= overdue }
