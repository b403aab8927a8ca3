package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// eventSizes are the sizes of events whose cost is compared, in bytes.
var eventSizes = []int{10, 128, 1 << 10, 16 << 10, 128 << 10, 1 << 20, 16 << 20}

// sizeOfOne is the size at which an event's bytes cost as much as the event itself. It is the
// parameter of the theory of event sizes.
const sizeOfOne = 256

func linear(x float64) float64 { return sizeOfOne + x }

// plainFeed returns a feed of JSON strings of the given size.
func plainFeed(size int, wrap func(payload string) string) *feed {
	f := &feed{}
	event := wrap(`"` + strings.Repeat("x", size-2) + `"`)
	for range max(1, blockSize/len(event)) {
		f.block = append(f.block, event...)
		f.ends = append(f.ends, len(f.block))
	}
	return f
}

// servePlain serves a plainFeed as a stream or over a WebSocket.
func servePlain(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(r.PathValue("size"))
	if err != nil || size < 2 {
		http.Error(w, "invalid size", http.StatusBadRequest)
		return
	}
	if r.PathValue("wire") == "ws" {
		socket{plainFeed(size, func(p string) string { return string(frameHeader(len(p))) + p })}.ServeHTTP(w, r)
		return
	}
	stream{plainFeed(size, func(p string) string { return p + "\n" }), "application/x-ndjson"}.ServeHTTP(w, r)
}

// openPlain subscribes to a plainFeed for each run.
func openPlain(wire string) func(string, int) (*load, error) {
	return func(server string, x int) (*load, error) {
		return &load{stop: func() error { return nil }, run: func(n int) error {
			url := fmt.Sprintf("%s/plain/%s/%d?n=%d", server, wire, x, n)
			var src transport.Source = &transport.HTTP{URL: url, End: transport.EndFeed, MaxFrame: 2*x + 100}
			if wire == "ws" {
				src = &transport.WebSocket{URL: "ws" + strings.TrimPrefix(url, "http"), End: transport.EndFeed, MaxMessage: 2*x + 100}
			}
			return readPlain(src, x, n)
		}}, nil
	}
}

func readPlain(src transport.Source, size, n int) error {
	sub, err := client.Subscribe(context.Background(), src, nil)
	if err != nil {
		return err
	}
	got := 0
	for ev, err := range sub.Events() {
		if err == nil && len(ev.Data) != size {
			err = fmt.Errorf("got an event of %d bytes, want %d", len(ev.Data), size)
		}
		if err != nil {
			return errors.Join(err, sub.Close())
		}
		got++
	}
	if err := sub.Close(); err != nil {
		return err
	}
	if got != n {
		return fmt.Errorf("got %d events of %d bytes, want %d", got, size, n)
	}
	return nil
}
