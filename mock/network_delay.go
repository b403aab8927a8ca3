package mock

import (
	"bytes"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A link is the delay of a wire. The zero link delays nothing.
type link struct {
	latency   time.Duration
	bandwidth int // bytes per second; 0: no limit
}

func (n *Network) link() link { return link{max(n.Latency, 0), max(n.Bandwidth, 0)} }

// A flight is the data in transit on a wire.
type flight struct {
	link
	free   time.Time // when the last byte leaves the writer's end
	parts  []part
	size   int // bytes of the parts
	timer  *time.Timer
	closed bool
}

// A part arrives as a whole. One without bytes is the end of the stream.
type part struct {
	at   time.Time
	data []byte
}

// delays reports whether data written now arrives later.
func (f *flight) delays() bool { return f.link != link{} || len(f.parts) > 0 }

// send puts data in transit. land is called when something arrives.
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
		f.timer = time.AfterFunc(max(f.parts[0].at.Sub(now), wait.AtOnce), land)
	}
}

// packet is the maximum number of bytes that arrive together on a wire that delays.
const packet = 1460

// arrivals returns what has arrived, and arranges for land to be called for the next part.
func (f *flight) arrivals(land func()) (arrived []part) {
	now := time.Now()
	for len(f.parts) > 0 && !f.parts[0].at.After(now) {
		arrived = append(arrived, f.parts[0])
		f.size -= len(f.parts[0].data)
		f.parts = f.parts[1:]
	}
	if len(f.parts) > 0 && !f.closed {
		f.timer = time.AfterFunc(max(f.parts[0].at.Sub(now), wait.AtOnce), land)
	}
	return arrived
}

// stop ends the transfer: what is in transit is no longer read.
func (f *flight) stop() {
	f.closed = true
	if f.timer != nil {
		f.timer.Stop()
	}
}
