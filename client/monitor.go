package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A Monitor watches each subscription that has it as its [Options].Monitor, from the return of
// Subscribe to Close, and remembers the last ones that have ended. It keeps what happened to each of
// them, and samples them every 10 s, in less than 4 KiB for each. Its zero value is ready to use. It
// must not be copied. Its methods may be called from several goroutines at once.
//
// A Monitor has one goroutine while a subscription runs. The end of the last one joins it.
//
// With a Monitor, the goroutines of a subscription that has a Name, and those of
// [Subscription.Process], have the pprof label "subscription" with that name: the goroutine profile
// shows where a consumer is stuck. For the body of a loop, call [runtime/pprof.Do].
type Monitor struct {
	// Keep is the maximum number of subscriptions to keep that have ended. Negative: none.
	// Default: 100.
	Keep int

	mu    sync.Mutex // held for a few instructions
	count uint64     // of subscriptions
	live  []*watched
	ended []*watched // the oldest first
	stop  chan struct{}
	done  chan struct{} // closed at the end of the goroutine that stop ends
}

const defaultKeep = 100

// A Snapshot is a subscription of a [Monitor] at one moment.
type Snapshot struct {
	ID      uint64    // the number of the subscription in its Monitor, from 1
	Name    string    // Options.Name
	Source  string    // the type of the feed, such as "*transport.HTTP"
	Started time.Time // when Subscribe returned
	Stats             // after Close, its errors are only texts

	Subscription *Subscription `json:"-"` // for Healthy, Reconnect and the like; nil after Close

	// Timeline has the last transitions, and what else happened: gaps, backfills, failed handovers,
	// events that were dead-lettered, and trouble with the store. The oldest is first. Equal ones share
	// an entry. History has the samples of the last 10 min, the oldest first. Both are set by
	// [Monitor.Lookup] only, and belong to the caller.
	Timeline []Transition
	History  []Sample
}

// A watched is a subscription as its Monitor sees it. A nil *watched does nothing.
type watched struct {
	monitor *Monitor
	id      uint64
	name    string
	source  string
	started time.Time

	mu       sync.Mutex    // held for a few instructions
	sub      *Subscription // nil after Close
	final    *Stats        // after Close
	timeline timeline
	history  history
}

// watch returns what the monitor keeps of s, which is not running yet.
func (m *Monitor) watch(s *Subscription, src transport.Source) *watched {
	if m == nil {
		return nil
	}
	return &watched{monitor: m, sub: s, name: s.opts.Name, source: fmt.Sprintf("%T", src)}
}

// begin makes the monitor know the subscription.
func (w *watched) begin() {
	if w == nil {
		return
	}
	m := w.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	w.id, w.started = m.count, time.Now()
	m.live = append(m.live, w)
	if m.stop == nil {
		m.stop, m.done = make(chan struct{}), make(chan struct{})
		go m.run(m.stop, m.done)
	}
}

// end is called at the end of the subscription. It joins the monitor's goroutine if no other one runs.
func (w *watched) end() {
	if w == nil {
		return
	}
	if done := w.monitor.retire(w); done != nil {
		<-done
	}
}

// retire moves w to those that have ended. It returns a channel to wait for if that ends the goroutine.
func (m *Monitor) retire(w *watched) (done chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live = slices.DeleteFunc(m.live, func(x *watched) bool { return x == w })
	m.ended = append(m.ended, w)
	keep := max(cmp.Or(m.Keep, defaultKeep), 0)
	if extra := len(m.ended) - keep; extra > 0 {
		m.ended = slices.Delete(m.ended, 0, extra)
	}
	if len(m.live) > 0 {
		return nil
	}
	close(m.stop)
	done = m.done
	m.stop, m.done = nil, nil
	return done
}

// close keeps the last Stats instead of the subscription and its buffer, and the texts of errors,
// which may hold an event.
func (w *watched) close() {
	if w == nil {
		return
	}
	final := w.sub.Stats()
	final.Closed = true
	for _, err := range []*error{&final.Err, &final.LastErr, &final.CheckpointError} {
		if *err != nil {
			*err = errors.New(clip((*err).Error()))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final, w.sub = &final, nil
}

// add adds to the timeline.
func (w *watched) add(t Transition) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timeline.add(t)
}

// labelled returns ctx with the labels of the subscription.
func (w *watched) labelled(ctx context.Context) context.Context {
	if w == nil || w.name == "" {
		return ctx
	}
	return pprof.WithLabels(ctx, pprof.Labels("subscription", w.name))
}

// label gives the current goroutine, which the subscription has started, the labels of ctx.
func (w *watched) label(ctx context.Context) {
	if w != nil && w.name != "" {
		pprof.SetGoroutineLabels(ctx)
	}
}

// run samples the subscriptions until stop is closed.
func (m *Monitor) run(stop, done chan struct{}) {
	defer close(done)
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			m.mu.Lock()
			live := slices.Clone(m.live)
			m.mu.Unlock()
			for _, w := range live {
				w.sample(now)
			}
		}
	}
}

func (w *watched) sample(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.sub; s != nil {
		b, f := s.window.Backlog(), &s.report.flow
		s.oldest.see(&b, now)
		w.history.add(w.started, now, f.events.Load(), time.Duration(f.lag.Load()), b.Events)
	}
}

// Snapshots returns the subscriptions, in the order of their names and then of their IDs.
func (m *Monitor) Snapshots() []Snapshot {
	all := m.all()
	list := make([]Snapshot, len(all))
	for i, w := range all {
		w.snapshot(&list[i])
	}
	return list
}

// known returns the subscriptions in no particular order.
func (m *Monitor) known() []*watched {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Concat(m.live, m.ended)
}

// all returns the subscriptions in the order of Snapshots.
func (m *Monitor) all() []*watched {
	all := m.known()
	slices.SortFunc(all, func(a, b *watched) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
	})
	return all
}

// Lookup returns the subscription with an ID, with its Timeline and History. It returns false if there
// is none or it is no longer kept.
func (m *Monitor) Lookup(id uint64) (Snapshot, bool) {
	for _, w := range m.known() {
		if w.id == id {
			var s Snapshot
			w.snapshot(&s)
			w.mu.Lock()
			defer w.mu.Unlock()
			s.Timeline, s.History = w.timeline.list(), w.history.list(w.started)
			return s, true
		}
	}
	return Snapshot{}, false
}

func (w *watched) snapshot(s *Snapshot) {
	w.mu.Lock()
	sub, final := w.sub, w.final
	w.mu.Unlock()
	s.ID, s.Name, s.Source, s.Started = w.id, w.name, w.source, w.started
	s.Subscription = sub
	if sub != nil {
		sub.describe(&s.Stats)
	} else {
		s.Stats = *final
		s.Disconnects = maps.Clone(final.Disconnects)
	}
}
