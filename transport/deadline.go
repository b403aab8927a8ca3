package transport

import (
	"sync"
	"time"
)

// A process that was stopped (SIGSTOP, a frozen container), or a machine that was asleep, wakes
// up with overdue timers and unread bytes. So a deadline that is late does not give up the peer,
// but checks again after secondLook.
const (
	overdue    = 100 * time.Millisecond // longer than a busy machine delays a timer
	secondLook = time.Second            // long enough to read what has arrived
)

// A deadline calls fire when a peer has been silent for too long. It waits in two parts: the
// second starts only once the end of the first was observed, and a part that ends late is
// followed by secondLook. So the reader always has time to read what arrived during a pause.
type deadline struct {
	fire func()
	now  func() time.Time // nil: time.Now

	mu    sync.Mutex
	timer *time.Timer
	due   time.Time     // when the current part ends; zero if none runs
	rest  time.Duration // the part after it
}

// start restarts the deadline: fire is called after d unless stop or start is called first.
func (l *deadline) start(now time.Time, d time.Duration) {
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
func (l *deadline) stop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	running := !l.due.IsZero()
	l.due = time.Time{}
	if running {
		l.timer.Stop()
	}
	return running
}

// isRunning reports whether the deadline was started, and neither stopped nor reached.
func (l *deadline) isRunning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.due.IsZero()
}

func (l *deadline) expire() {
	now := time.Now
	if l.now != nil {
		now = l.now
	}
	if l.reached(now()) {
		l.fire()
	}
}

// reached reports whether the deadline is reached, and starts the next part if it is not.
func (l *deadline) reached(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := now.Sub(l.due)
	if l.due.IsZero() || late < 0 { // stopped or restarted while the timer fired
		return false
	}
	next := l.rest
	if late >= overdue {
		next += secondLook
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
