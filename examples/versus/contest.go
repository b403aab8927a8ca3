package main

import (
	"fmt"
	"slices"
	"testing"
)

// A contest is one task that several libraries do with the same bytes.
type contest struct {
	task    string
	size    int     // of a payload
	wire    int     // size of an event on the wire, on average
	entries []entry // steadfeed first
}

// An entry is how one library does the task.
type entry struct {
	library string
	// read reads a stream of n events to its end and counts each of them.
	read func(n int, t *tally) error
}

// name returns the name of the contest as a benchmark.
func (c contest) name() string { return c.task + "/" + sizeName(c.size) }

// bench returns e as a benchmark in which one operation is one event.
func (c contest) bench(e entry) func(*testing.B) {
	return func(b *testing.B) {
		b.SetBytes(int64(c.wire))
		b.ReportAllocs()
		var t tally
		b.ResetTimer()
		if err := e.read(b.N, &t); err != nil {
			b.Fatal(err)
		}
		if t.events != b.N {
			b.Fatalf("%d events were delivered, want %d", t.events, b.N)
		}
	}
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
func decoding() (all []contest) {
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
	if size < 1000 {
		return fmt.Sprintf("%dB", size)
	}
	return fmt.Sprintf("%gKB", float64(size)/1000)
}

// contests returns all contests.
func contests(server string) []contest {
	return slices.Concat(decoding(), subscribing(server), sockets(server))
}
