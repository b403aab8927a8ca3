package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

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

// A techniqueContest shows how many events a core can receive per second of CPU time.
type techniqueContest struct{ server string }

func techniques(server string) []contest { return []contest{techniqueContest{server}} }

func (c techniqueContest) name() string { return "Techniques/" + sizeName(techniqueSize) }

func (c techniqueContest) hooks() []hook {
	return []hook{
		{gitHub, floor, each(discard)},
		{gitHub, "webhook, AckAfterHandling", subscribed(webhook.AckAfterHandling, gitHubProvider)},
		{gitHub, "webhook, AckOnEnqueue", subscribed(webhook.AckOnEnqueue, gitHubProvider)},
	}
}

func (c techniqueContest) entries() (names []string) {
	for _, h := range c.hooks() {
		names = append(names, h.library)
	}
	for _, way := range streams(c.server) {
		names = append(names, way.name)
	}
	return names
}

func (c techniqueContest) measure(s settings) (res *result, err error) {
	all, stop, err := receivers(c.hooks())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var ways []technique
	for _, r := range all {
		ways = append(ways, technique{r.library, func(n int) error { return r.run(c.server, techniqueSize, n) }})
	}
	ways = append(ways, streams(c.server)...)
	ways = slices.DeleteFunc(ways, func(way technique) bool { return !s.wants(way.name) })
	runs := make([]func(int) error, len(ways))
	for i, way := range ways {
		runs[i] = way.run
	}
	costs, err := takeTurns(s.span, s.turns, hookConns, runs)
	if err != nil {
		return nil, err
	}
	res = &result{Task: "Techniques", Size: sizeName(techniqueSize), Columns: []string{"CPU ns/event", "events/s per core", "allocs/event"}}
	for i, way := range ways {
		line := row{Name: way.name, Ours: way.name != floor}
		for _, k := range costs[i] {
			line.Turns = append(line.Turns, []float64{k.ns, 1e9 / k.ns, k.allocs})
		}
		res.Rows = append(res.Rows, line)
	}
	return res, nil
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
