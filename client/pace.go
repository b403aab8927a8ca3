package client

import "time"

const (
	// doze is how long a consumer of a fast feed waits before it looks for more by itself.
	// To be woken for each read costs as much as the work on dozens of events, and the
	// goroutine that reads would have to spend it.
	doze = 100 * time.Microsecond

	// A feed is fast that brings more than one event in fastEvery. It is judged every
	// paceEvents events, or in the time that they take at that pace.
	fastEvery  = doze / 2
	paceEvents = 32
)

// pace tells how fast events come.
type pace struct {
	since    time.Time // of the last judgement
	received uint64    // until then
	fast     bool      // its outcome
}

// isFast is told how many events were received until now.
func (p *pace) isFast(received uint64, now time.Time) bool {
	n, took := received-p.received, now.Sub(p.since)
	if n >= paceEvents || took > paceEvents*fastEvery {
		*p = pace{since: now, received: received, fast: took < time.Duration(n)*fastEvery}
	}
	return p.fast
}
