package mock

import (
	"bytes"
	"time"
)

// A link is how a wire delays what is written to it. The zero link delays nothing.
type link struct {
	latency   time.Duration
	bandwidth int // bytes per second; 0: no limit
}

// Delay makes connections that are dialed from now on slow: what is written arrives after
// latency, and no faster than bytesPerSecond in each direction. A latency of zero is none, and
// so is a bandwidth of zero. To dial takes a round trip. A reset, and that a peer has closed
// what it does not want to read, is known at once.
func (n *Network) Delay(latency time.Duration, bytesPerSecond int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link = link{max(latency, 0), max(bytesPerSecond, 0)}
}

func (n *Network) roundTrip() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return 2 * n.link.latency
}

// A flight is what is on its way along a wire.
type flight struct {
	link
	free   time.Time // when the last byte has left the writer's end
	parts  []part
	size   int // bytes of the parts
	timer  *time.Timer
	closed bool
}

// A part arrives as a whole. The one without bytes is the end of what is written.
type part struct {
	at   time.Time
	data []byte
}

// delays tells whether something that is written now arrives later.
func (f *flight) delays() bool { return f.link != link{} || len(f.parts) > 0 }

// send puts data on its way. land is called when something arrives.
func (f *flight) send(data []byte, land func()) {
	now := time.Now()
	if f.free.Before(now) {
		f.free = now
	}
	if f.bandwidth > 0 {
		f.free = f.free.Add(time.Duration(len(data)) * time.Second / time.Duration(f.bandwidth))
	}
	f.parts = append(f.parts, part{f.free.Add(f.latency), bytes.Clone(data)})
	f.size += len(data)
	if len(f.parts) == 1 && !f.closed {
		f.timer = time.AfterFunc(max(f.parts[0].at.Sub(now), atOnce), land)
	}
}

// packet is how much arrives at once over a wire of limited bandwidth.
const packet = 1460

// arrivals returns what has arrived, and sees to it that land is called for the next.
func (f *flight) arrivals(land func()) (arrived []part) {
	now := time.Now()
	for len(f.parts) > 0 && !f.parts[0].at.After(now) {
		arrived = append(arrived, f.parts[0])
		f.size -= len(f.parts[0].data)
		f.parts = f.parts[1:]
	}
	if len(f.parts) > 0 && !f.closed {
		f.timer = time.AfterFunc(max(f.parts[0].at.Sub(now), atOnce), land)
	}
	return arrived
}

// stop ends it: nobody waits for what is on its way.
func (f *flight) stop() {
	f.closed = true
	if f.timer != nil {
		f.timer.Stop()
	}
}
