package client

import (
	"context"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
)

// lanes keeps the order of each key in a call of Process. A lane is a key with an event that is being
// handled or was refused, and the events that wait for it. All of them are claimed, and so in the
// window, which bounds their number.
type lanes struct {
	sub    *Subscription
	keyOf  func(Event) string
	queued bool          // events wait in a queue of the window
	wake   chan struct{} // one token: a lane is ready, or there may be an event in the queue

	mu     sync.Mutex // held during KeyOf, but never across a wait
	of     map[string]*lane
	ready  []*lane // their next event can be handled
	spare  []*lane
	over   bool
	timers sync.WaitGroup // of lanes
	looked uint64         // every event in the queue of the window up to this number has a key with a lane
}

type lane struct {
	key     string
	refused taken       // is handled next, once timer has fired; its slot is nil if there is none
	timer   *time.Timer // nil unless refused waits for it
	waiting []taken
}

// A taken is an event that was claimed.
type taken struct {
	claim window.Claim
	slot  *window.Slot
}

func newLanes(s *Subscription, keyOf func(Event) string) *lanes {
	return &lanes{sub: s, keyOf: keyOf, queued: s.window.HasQueue(), wake: make(chan struct{}, 1), of: make(map[string]*lane)}
}

// take gives w its next event: of the lane that it has just served, of one that is ready, or one
// whose key has no lane. It returns false if there is none.
func (ls *lanes) take(w *worker) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ok := ls.next(w)
	if ok && ls.queued && ls.sub.window.HasNew(ls.looked) {
		ls.wakeOther() // w does not look at that for now
	}
	return ok
}

// next is take for a caller that holds mu.
func (ls *lanes) next(w *worker) bool {
	if l := w.lane; l != nil {
		w.lane = nil
		if len(l.waiting) > 0 {
			ls.serve(l, w)
			return true
		}
		ls.remove(l)
	}
	if len(ls.ready) > 0 {
		l := ls.ready[0]
		ls.ready = ls.ready[1:]
		ls.signal()
		ls.serve(l, w)
		return true
	}
	return ls.claim(w)
}

// serve gives w the next event of l. The caller holds mu.
func (ls *lanes) serve(l *lane, w *worker) {
	t := l.refused
	if t.slot != nil {
		l.refused = taken{}
		ls.sub.window.Retake(&t.claim)
	} else {
		t, l.waiting[0] = l.waiting[0], taken{}
		if l.waiting = l.waiting[1:]; len(l.waiting) == 0 {
			l.waiting = nil
		}
	}
	w.ev.claim, w.slot = t.claim, t.slot
	w.hold(l)
}

// claim claims events for w until one has a key without a lane. The caller holds mu.
func (ls *lanes) claim(w *worker) bool {
	win := ls.sub.window
	picks := ls.queued && !win.IsAlone()
	for {
		if picks {
			w.slot = win.ClaimReturned(&w.ev.claim)
		} else {
			w.slot = win.Claim(&w.ev.claim)
		}
		if w.slot == nil {
			return picks && ls.pick(w)
		}
		w.hold(nil)
		key, ok := ls.key(w)
		if !ok {
			return true
		}
		l := ls.of[key]
		if l == nil {
			w.lane = ls.add(key)
			return true
		}
		l.waiting = append(l.waiting, taken{w.ev.claim, w.slot})
		w.inHand = false
	}
}

// pick claims the first event in the queue of the window whose key has no lane. The others stay there,
// where they may still be dropped or replaced. The caller holds mu.
func (ls *lanes) pick(w *worker) bool {
	win, p := ls.sub.window, window.Place{N: ls.looked}
	for win.Look(&p, ls) {
		ok := true
		if !p.Keyed {
			ok = ls.note(w, &p)
		}
		if ok && ls.of[p.Key] != nil {
			continue
		}
		if w.slot = win.ClaimAt(&w.ev.claim, &p); w.slot == nil {
			w.failed = nil
			continue
		}
		w.hold(nil)
		if ok {
			w.lane = ls.add(p.Key)
		}
		ls.looked = p.N
		return true
	}
	ls.looked = p.N
	return false
}

// note notes the key of the event at p. It returns false if KeyOf panicked. If KeyOf exits, w has the
// event in hand, so that it is refused.
func (ls *lanes) note(w *worker, p *window.Place) (ok bool) {
	done := false
	defer onExit(&done, func() {
		if w.slot = ls.sub.window.ClaimAt(&w.ev.claim, p); w.slot != nil {
			w.hold(nil)
		}
	})
	w.ev.claim = window.Claim{}
	w.ev.set(&p.Slot)
	w.ev.Attempt++
	if p.Key, ok = ls.key(w); ok {
		ls.sub.window.Note(p, ls)
	}
	done = true
	return ok
}

// wait waits until take may find an event.
func (ls *lanes) wait(ctx context.Context) error {
	win := ls.sub.window
	if !ls.queued {
		return win.Wait(ctx, ls.wake, false)
	}
	ls.mu.Lock()
	looked := ls.looked
	ls.mu.Unlock()
	return win.WaitAfter(ctx, ls.wake, looked)
}

// key returns the key of w's event, or false if KeyOf panicked, which refuses the event.
func (ls *lanes) key(w *worker) (key string, ok bool) {
	defer recovered(&w.failed)
	ev := w.ev
	ev.sub, ev.settle = nil, nil // KeyOf cannot settle it
	return ls.keyOf(ev), true
}

func (ls *lanes) add(key string) *lane {
	var l *lane
	if last := len(ls.spare) - 1; last >= 0 {
		l, ls.spare = ls.spare[last], ls.spare[:last]
	} else {
		l = new(lane)
	}
	l.key = key
	ls.of[key] = l
	return l
}

const maxSpareLanes = 64

// remove removes a lane without events. The caller holds mu.
func (ls *lanes) remove(l *lane) {
	delete(ls.of, l.key)
	ls.looked = 0
	if len(ls.spare) < maxSpareLanes {
		*l = lane{}
		ls.spare = append(ls.spare, l)
	}
}

// signal wakes a worker if there is a lane for it. The caller holds mu.
func (ls *lanes) signal() {
	if len(ls.ready) == 0 {
		ls.ready = nil
		return
	}
	ls.wakeOther()
}

// wakeOther wakes a worker.
func (ls *lanes) wakeOther() {
	select {
	case ls.wake <- struct{}{}:
	default:
	}
}

// hasReady reports whether a lane waits for a worker.
func (ls *lanes) hasReady() bool {
	if ls == nil {
		return false
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.ready) > 0
}

// block makes the refused event of w, which is held, the next one of its lane after delay.
func (ls *lanes) block(l *lane, w *worker, delay time.Duration) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.refused = taken{w.ev.claim, w.slot}
	ls.timers.Add(1)
	l.timer = time.AfterFunc(delay, func() {
		defer ls.timers.Done()
		ls.due(l)
	})
}

// due makes a lane ready whose refused event is due.
func (ls *lanes) due(l *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.over {
		return
	}
	l.timer = nil
	ls.ready = append(ls.ready, l)
	ls.signal()
}

// unblock continues a lane whose refused event was dead-lettered.
func (ls *lanes) unblock(l *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	switch {
	case ls.over:
	case len(l.waiting) == 0:
		ls.remove(l)
		ls.wakeOther()
	default:
		ls.ready = append(ls.ready, l)
		ls.signal()
	}
}

// end makes the events of all lanes available to other consumers, in the order of the feed, and joins
// the timers. There are no workers any more.
func (ls *lanes) end() {
	if ls == nil {
		return
	}
	ls.mu.Lock()
	ls.over = true
	now := time.Now()
	for _, l := range ls.of {
		if l.timer != nil && l.timer.Stop() {
			ls.timers.Done()
		}
		if l.refused.slot != nil {
			ls.sub.window.Release(&l.refused.claim, now)
		}
		for i := range l.waiting {
			ls.sub.window.Unclaim(&l.waiting[i].claim, now)
		}
	}
	ls.mu.Unlock()
	ls.timers.Wait()
}
