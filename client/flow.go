package client

import (
	"sync/atomic"
	"time"
)

// A flow is what an intake has received. The intake counts in its own fields, and publishes them
// here once for each batch.
type flow struct {
	events, bytes, keepalives atomic.Uint64
	missed                    atomic.Uint64
	event, message            atomic.Int64 // when the last one was received, UNIX ns
	lag                       atomic.Int64
	marks                     atomic.Pointer[mark]
}

// rateWindow is the minimum time over which Stats.Rate is measured.
const rateWindow = 10 * time.Second

// A mark is the number of events at a time.
type mark struct {
	at     int64 // UNIX ns
	events uint64
	before *mark // the previous one; nil in that
}

func (f *flow) start(now time.Time) { f.marks.Store(&mark{at: now.UnixNano()}) }

// publish publishes what was received until now.
func (f *flow) publish(events, bytes, keepalives uint64, now time.Time) {
	at := now.UnixNano()
	if events != f.events.Load() {
		f.mark(at)
		f.bytes.Store(bytes)
		f.events.Store(events)
		if f.event.Load() != at {
			f.event.Store(at)
		}
	}
	if keepalives != f.keepalives.Load() {
		f.keepalives.Store(keepalives)
	}
	if f.message.Load() != at {
		f.message.Store(at)
	}
}

// mark records how many events were received before at, if the last mark is old.
func (f *flow) mark(at int64) {
	m := f.marks.Load()
	if at-m.at < int64(rateWindow) {
		return
	}
	f.marks.Store(&mark{at: at, events: f.events.Load(), before: &mark{at: m.at, events: m.events}})
}

// rate returns the events per second since the newest mark that is old enough.
func (f *flow) rate(now time.Time) float64 {
	at := now.UnixNano()
	if at-f.event.Load() >= int64(rateWindow) {
		return 0
	}
	m := f.marks.Load()
	if at-m.at < int64(rateWindow) && m.before != nil {
		m = m.before
	}
	took := max(time.Duration(at-m.at), time.Second)
	return float64(f.events.Load()-m.events) / took.Seconds()
}

// describe sets the part of t that f keeps.
func (f *flow) describe(t *Stats, now time.Time) {
	t.Received, t.ReceivedBytes, t.Keepalives = f.events.Load(), f.bytes.Load(), f.keepalives.Load()
	t.Missed = f.missed.Load()
	t.LastEvent, t.LastMessage = unixTime(f.event.Load()), unixTime(f.message.Load())
	t.Rate, t.Lag = f.rate(now), time.Duration(f.lag.Load())
}

// unixTime returns the time of a UNIX time in ns, and the zero time for 0.
func unixTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
