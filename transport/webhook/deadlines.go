package webhook

import (
	"container/list"
	"sync"
	"time"
)

// deadlines ends the exchanges of one route at their deadlines, with one timer for all. A timer for
// each would be the earliest of the process each time, which wakes a thread. All deadlines are the
// same time after the start of their exchange, so the list is in order. The timer continues to run
// when an exchange ends before its deadline.
type deadlines struct {
	mu      sync.Mutex
	list    list.List   // of *exchange
	timer   *time.Timer // nil until the first exchange
	running bool
	closed  bool // the timer does not run without an exchange
}

// add calls x.expire at the deadline unless remove is called first.
func (d *deadlines) add(x *exchange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x.place = d.list.PushBack(x)
	if !d.running {
		d.arm(x.req.Deadline)
	}
}

func (d *deadlines) remove(x *exchange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list.Remove(x.place)
	d.rest()
}

// close stops the timer once no exchange is left.
func (d *deadlines) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.rest()
}

// rest stops the timer if it is not needed any more. The caller holds d.mu.
func (d *deadlines) rest() {
	if d.closed && d.running && d.list.Len() == 0 {
		d.running = !d.timer.Stop()
	}
}

// arm starts the timer. The caller holds d.mu.
func (d *deadlines) arm(at time.Time) {
	d.running = true
	// A timer that is due when it starts may crash Go 1.26 in a synctest bubble, under the race
	// detector.
	wait := max(time.Until(at), time.Nanosecond)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.expire)
	} else {
		d.timer.Reset(wait)
	}
}

// expire ends the exchanges whose deadline has passed.
func (d *deadlines) expire() {
	for _, x := range d.passed(time.Now()) {
		x.expire()
	}
}

// passed removes the exchanges whose deadline has passed, and starts the timer for the next one.
func (d *deadlines) passed(now time.Time) (all []*exchange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = false
	for e := d.list.Front(); e != nil; e = d.list.Front() {
		x := e.Value.(*exchange)
		if x.req.Deadline.After(now) {
			d.arm(x.req.Deadline)
			break
		}
		d.list.Remove(e)
		all = append(all, x)
	}
	return all
}
