package client

import "time"

const (
	sampleEvery = 10 * time.Second
	maxSamples  = 60
)

// A Sample is a measurement of a subscription by its [Monitor].
type Sample struct {
	Time     time.Time
	Rate     float64       // events received per second since the sample before, or since Subscribe
	Lag      time.Duration // as in Stats
	Buffered int           // as in Stats
}

// A history keeps the samples of the last minutes.
type history struct {
	samples []sample // a ring once it is full
	next    int      // where the next one goes
	events  uint64   // received at the last one
	last    time.Time
}

// A sample is a Sample in 16 bytes.
type sample struct {
	after    uint32  // seconds since the subscription started
	rate     float32 // events per second
	lag      float32 // seconds
	buffered uint32
}

func (h *history) add(started, now time.Time, events uint64, lag time.Duration, buffered int) {
	if h.last.IsZero() {
		h.last = started
	}
	took := now.Sub(h.last)
	if took <= 0 {
		return
	}
	if h.samples == nil {
		h.samples = make([]sample, 0, maxSamples)
	}
	s := sample{after: uint32(now.Sub(started) / time.Second), lag: float32(lag.Seconds()), buffered: uint32(buffered)}
	s.rate = float32(float64(events-h.events) / took.Seconds())
	h.events, h.last = events, now
	if len(h.samples) < maxSamples {
		h.samples = append(h.samples, s)
		return
	}
	h.samples[h.next] = s
	h.next = (h.next + 1) % maxSamples
}

// list returns the samples, the oldest first.
func (h *history) list(started time.Time) []Sample {
	list := make([]Sample, len(h.samples))
	for i := range list {
		s := h.samples[(h.next+i)%len(h.samples)]
		list[i] = Sample{Time: started.Add(time.Duration(s.after) * time.Second), Rate: float64(s.rate),
			Lag: time.Duration(float64(s.lag) * float64(time.Second)), Buffered: int(s.buffered)}
	}
	return list
}
