package window

import "time"

const (
	// pollAfter is how long a consumer of a fast feed waits before it checks for more events itself.
	// Waking it after each read costs the goroutine that reads as much as handling dozens of
	// events.
	pollAfter = 100 * time.Microsecond

	// A feed is fast if it averages more than one event per fastEvery. The average is taken over
	// paceEvents events, or over the time that they take at that rate.
	fastEvery  = pollAfter / 2
	paceEvents = 32
)

// pace measures how fast events arrive.
type pace struct {
	since    time.Time // of the last measurement
	received uint64    // events until then
	fast     bool      // its result
}

// isFast reports whether the feed is fast. received is the number of events until now.
func (p *pace) isFast(received uint64, now time.Time) bool {
	n, took := received-p.received, now.Sub(p.since)
	if n >= paceEvents || took > paceEvents*fastEvery {
		*p = pace{since: now, received: received, fast: took < time.Duration(n)*fastEvery}
	}
	return p.fast
}
