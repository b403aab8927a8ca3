package client

import (
	"errors"
	"sync"
	"time"
)

// deadLetters passes events that were refused permanently to Options.DeadLetter: one at a time, on a
// goroutine that lasts while there is any. An event that DeadLetter fails for is held in the window
// and does not delay the others. The window bounds their number.
type deadLetters struct {
	sub *Subscription

	mu      sync.Mutex // never held during a call of DeadLetter
	waiting []*deadLetter
	wake    chan struct{} // one token: an event was added
	running bool
	stopped bool
	joined  sync.WaitGroup
	outage  trouble // failures in a row
}

// A deadLetter is an event that DeadLetter has not accepted yet.
type deadLetter struct {
	event  Event
	reason error
	done   func() // called just before it is settled, while the window cannot end; may be nil
	calls  int
	due    time.Time
}

var errExited = errors.New("client: the function called runtime.Goexit")

// deadLetter refuses an event permanently. done, if not nil, is called when
// DeadLetter has accepted it.
func (s *Subscription) deadLetter(e *Event, reason error, done func()) bool {
	if !s.window.Hold(&e.claim) {
		return false
	}
	s.report.nacked(e, reason)
	s.letters.add(&deadLetter{event: *e, reason: reason, done: done})
	return true
}

func (d *deadLetters) add(l *deadLetter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = append(d.waiting, l)
	d.start()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// start starts the goroutine unless it runs. The caller holds mu.
func (d *deadLetters) start() {
	if !d.running && !d.stopped && len(d.waiting) > 0 {
		d.running = true
		d.joined.Go(d.run)
	}
}

// stop joins the goroutine, after the end of the subscription's life.
func (d *deadLetters) stop() {
	if d == nil {
		return
	}
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.joined.Wait()
}

// run handles what waits until there is nothing left or the subscription ends. A DeadLetter that
// calls runtime.Goexit ends the goroutine, and another one continues.
func (d *deadLetters) run() {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.running {
			d.running = false
			d.start()
		}
	}()
	for {
		l, delay := d.next()
		switch {
		case l != nil:
			d.try(l)
		case delay <= 0:
			return
		default:
			d.pause(delay)
		}
	}
}

// next removes the event that is due first. It returns nil and the time until then if it is not due
// yet, and nil and 0 if nothing more is to be done: then the goroutine ends.
func (d *deadLetters) next() (*deadLetter, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := -1
	for i, l := range d.waiting {
		if first < 0 || l.due.Before(d.waiting[first].due) {
			first = i
		}
	}
	if first < 0 || !d.sub.checkpoint.holds() || d.sub.life.Err() != nil || d.sub.ctx.Err() != nil && d.waiting[first].calls > 0 {
		d.running = false // what is left comes again after a restart
		return nil, 0
	}
	l := d.waiting[first]
	if delay := time.Until(l.due); delay > 0 {
		return nil, delay
	}
	d.waiting = append(d.waiting[:first], d.waiting[first+1:]...)
	return l, 0
}

func (d *deadLetters) pause(delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.wake:
	case <-d.sub.ctx.Done():
	}
}

// try calls DeadLetter once, and settles the event or sets the time of the next call.
func (d *deadLetters) try(l *deadLetter) {
	err := errExited
	defer func() { d.tried(l, err) }()
	err = d.sub.opts.DeadLetter(d.sub.life, l.event, l.reason)
}

func (d *deadLetters) tried(l *deadLetter, err error) {
	s := d.sub
	t, log := d.count(err)
	s.report.deadLettered(l, err, t, log)
	if err == nil && s.sealed.reason() == nil {
		if l.done != nil {
			l.done()
		}
		s.window.SettleHeld(&l.event.claim)
		if l.event.settle != nil {
			l.event.settle(nil)
		}
		s.checkpoint.touch()
		s.suspects.Load().settled()
	} else {
		d.retry(l)
	}
}

// retry makes the event wait for its next call.
func (d *deadLetters) retry(l *deadLetter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.calls++
	l.due = time.Now().Add(redelivery(l.calls))
	d.waiting = append(d.waiting, l)
}

// count counts the outcome of a call. It returns the failures in a row, and whether to log them.
func (d *deadLetters) count(err error) (t trouble, log bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.outage.record(err, time.Now())
}
