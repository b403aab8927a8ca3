package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A contest is one task that several libraries do with the same bytes.
type contest interface {
	// name is the task, a slash and the size, if there is one.
	name() string
	// entries are the names of the result's rows.
	entries() []string
	// measure runs the entries in turn, so that a noisy machine disturbs all of them.
	measure(s settings) (*result, error)
}

// settings are how to measure.
type settings struct {
	span  time.Duration // of a measurement, approximately
	turns int           // measurements of each entry
	idle  int           // connections that each entry of an idleContest holds
	only  []string      // the entries to measure; nil for all
}

func (s settings) wants(entry string) bool { return s.only == nil || slices.Contains(s.only, entry) }

// contests returns all contests.
func contests(server string) (all []contest) {
	for _, r := range slices.Concat(decoding(), checking(), subscribing(server), sockets(server)) {
		all = append(all, r)
	}
	return slices.Concat(all, webhooks(server), techniques(server), idling(server), growing(server))
}

// A reading is a contest of libraries that read a stream to its end.
type reading struct {
	task   string
	size   int     // of a payload
	wire   int     // size of an event on the wire, on average
	rivals []rival // steadfeed first
}

// A rival is how one library does the task.
type rival struct {
	library string
	// read reads a stream of n events to its end and counts each of them.
	read func(n int, t *tally) error
}

func (c reading) name() string { return c.task + "/" + sizeName(c.size) }

func (c reading) entries() (names []string) {
	for _, r := range c.rivals {
		names = append(names, r.library)
	}
	return names
}

// bench returns r as a benchmark in which one operation is one event.
func (c reading) bench(r rival) func(*testing.B) {
	return func(b *testing.B) {
		b.SetBytes(int64(c.wire))
		b.ReportAllocs()
		var t tally
		b.ResetTimer()
		if err := r.read(b.N, &t); err != nil {
			b.Fatal(err)
		}
		if t.events != b.N {
			b.Fatalf("%d events were delivered, want %d", t.events, b.N)
		}
	}
}

func (c reading) measure(s settings) (*result, error) {
	res := &result{Task: c.task, Size: sizeName(c.size), Columns: []string{"ns/event", "MB/s", "allocs/event"}}
	var rivals []rival
	for _, r := range c.rivals {
		if s.wants(r.library) {
			rivals = append(rivals, r)
			res.Rows = append(res.Rows, named(r.library))
		}
	}
	for range s.turns {
		for i, r := range rivals {
			one, err := c.once(r)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.library, err)
			}
			res.Rows[i].Turns = append(res.Rows[i].Turns, one)
		}
	}
	return res, nil
}

func (c reading) once(r rival) ([]float64, error) {
	if err := r.read(10, new(tally)); err != nil { // testing.Benchmark does not return errors
		return nil, err
	}
	b := testing.Benchmark(c.bench(r))
	if b.N == 0 {
		return nil, fmt.Errorf("the benchmark failed")
	}
	n := float64(b.N)
	ns := float64(b.T.Nanoseconds()) / n
	return []float64{ns, float64(c.wire) / ns * 1000, float64(b.MemAllocs) / n}, nil
}

// A tally counts the events. It looks at each, so that every library must deliver it, and does
// no more, so that it measures the libraries.
type tally struct {
	events int
	bytes  int
	edges  int    // sum of the first and last bytes
	latest []byte // keeps a copy alive

	keep bool
	kept []string
}

// count takes the data of an event in the type that the library delivers.
func count[T []byte | string](t *tally, data T) {
	t.events++
	t.bytes += len(data)
	if len(data) > 0 {
		t.edges += int(data[0]) + int(data[len(data)-1])
	}
	if t.keep {
		t.kept = append(t.kept, string(data))
	}
}

// decoding returns the contests between parsers, which read from memory.
func decoding() (all []reading) {
	for _, size := range sizes {
		all = append(all, sseContest("SSE", size, sseFeed(size)))
	}
	for _, size := range sizes {
		all = append(all, sseContest("SSE data", size, sseDataFeed(size)))
	}
	for _, size := range sizes {
		all = append(all, ndjsonContest(size))
	}
	for _, size := range sizes {
		all = append(all, concatenatedContest(size))
	}
	for _, size := range sizes {
		all = append(all, arrayContest(size))
	}
	return all
}

// sizes are the sizes of the payloads, in bytes.
var sizes = []int{100, 430, 1500, 60_000}

func sizeName(size int) string {
	switch {
	case size < 1000:
		return fmt.Sprintf("%dB", size)
	case size%1024 == 0:
		return fmt.Sprintf("%dKiB", size/1024)
	}
	return fmt.Sprintf("%gKB", float64(size)/1000)
}
