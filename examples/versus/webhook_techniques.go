package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook"
)

// techniqueSize is the size of the events with which techniques are compared, in bytes.
const techniqueSize = 430

// hookRoutes adds the server's routes for webhooks, and for comparing them.
func hookRoutes(mux *http.ServeMux) {
	mux.HandleFunc("/send", sendHooks)
	size := strconv.Itoa(techniqueSize)
	mux.Handle("/ws/"+size, socket{socketFeed(techniqueSize)})
	mux.Handle("/each/"+size, oneByOne{ndjsonFeed(techniqueSize)})
}

// A oneByOne serves a feed with one write per event, like a feed of live events.
type oneByOne struct{ feed *feed }

func (s oneByOne) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	for i := range n {
		at := i % len(s.feed.ends)
		start := 0
		if at > 0 {
			start = s.feed.ends[at-1]
		}
		w.Write(s.feed.block[start:s.feed.ends[at]])
		if out.Flush() != nil {
			return
		}
	}
}

// A technique delivers the same events to the same loop, except the first one, which is only
// net/http.
type technique struct {
	name string
	run  func(n int) error
}

// techniques shows how many events a core can receive per second of CPU time.
func techniques(w io.Writer, server string, span time.Duration, turns int) (err error) {
	all, stop, err := receivers([]hook{
		{gitHub, floor, each(discard)},
		{gitHub, "webhook, AckAfterHandling", subscribed(webhook.AckAfterHandling, gitHubProvider)},
		{gitHub, "webhook, AckOnEnqueue", subscribed(webhook.AckOnEnqueue, gitHubProvider)},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var ways []technique
	for _, r := range all {
		ways = append(ways, technique{r.library, func(n int) error { return r.run(server, techniqueSize, n) }})
	}
	ways = append(ways, streams(server)...)
	runs := make([]func(int) error, len(ways))
	for i, way := range ways {
		runs[i] = way.run
	}
	costs, err := takeTurns(span, turns, runs)
	if err != nil {
		return err
	}
	return showTechniques(w, ways, costs)
}

func showTechniques(w io.Writer, ways []technique, costs [][]cost) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "technique\tpayload\tCPU ns/event\tevents/s per core\tallocs/event")
	for i, way := range ways {
		c := costs[i]
		ns := median(len(c), func(turn int) float64 { return c[turn].ns })
		allocs := median(len(c), func(turn int) float64 { return c[turn].allocs })
		fmt.Fprintf(out, "%s\t%s\t%.0f\t%.0f\t%.1f\n", way.name, sizeName(techniqueSize), ns, 1e9/ns, allocs)
	}
	return out.Flush()
}

func streams(server string) []technique {
	address := func(base, path string, n int) string {
		return fmt.Sprintf("%s/%s/%d?n=%d", base, path, techniqueSize, n)
	}
	counted := func(n int, read func(t *tally) error) error {
		var t tally
		err := read(&t)
		if err == nil && t.events != n {
			err = fmt.Errorf("%d events were delivered, want %d", t.events, n)
		}
		return err
	}
	return []technique{
		{"HTTP stream, a write for each", func(n int) error {
			return counted(n, func(t *tally) error { return subscribe(address(server, "each", n), t) })
		}},
		{"HTTP stream", func(n int) error {
			return counted(n, func(t *tally) error { return subscribe(address(server, "ndjson", n), t) })
		}},
		{"WebSocket", func(n int) error {
			ws := "ws" + strings.TrimPrefix(server, "http")
			return counted(n, func(t *tally) error { return subscribeSocket(address(ws, "ws", n), t) })
		}},
	}
}
