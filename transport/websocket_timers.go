package transport

import (
	"sync"
	"time"
)

// atOnce is the minimum of a timer: under the race detector, Go 1.26 may crash on a timer in a
// synctest bubble that is due when it starts.
const atOnce = time.Nanosecond

// timers are the deadlines and goroutines of one connection, which its Close ends and joins.
type timers struct {
	now func() time.Time

	mu      sync.Mutex
	closed  bool // nothing may start
	pending map[*deadline]struct{}
	running sync.WaitGroup // functions that were called
}

// after calls f after d, unless the timers are closed. f must not wait for Close.
func (t *timers) after(d time.Duration, f func()) *deadline {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	l := &deadline{now: t.now}
	l.fire = func() {
		if t.enter(l) {
			defer t.running.Done()
			f()
		}
	}
	t.pending[l] = struct{}{}
	l.start(t.now(), max(d, atOnce))
	return l
}

// enter reports whether the function of l, which has fired, may run.
func (t *timers) enter(l *deadline) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.pending[l]; !ok {
		return false
	}
	delete(t.pending, l)
	t.running.Add(1)
	return true
}

// spawn calls f on a goroutine, unless the timers are closed.
func (t *timers) spawn(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.running.Go(f)
	}
}

// stop stops l, which may be nil.
func (t *timers) stop(l *deadline) {
	if l == nil {
		return
	}
	t.mu.Lock()
	delete(t.pending, l)
	t.mu.Unlock()
	l.stop()
}

// close stops everything that has not been called. running may then be waited for.
func (t *timers) close() {
	t.mu.Lock()
	t.closed = true
	pending := t.pending
	t.pending = nil
	t.mu.Unlock()
	for l := range pending {
		l.stop()
	}
}
