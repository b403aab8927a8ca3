package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
)

//go:embed page.html
var page []byte

// A fakefeed is a feed and the page that controls it.
type fakefeed struct {
	feed *mock.Feed

	mu        sync.Mutex
	published int
}

func newFakefeed(script []mock.Step) *fakefeed { return &fakefeed{feed: mock.NewFeed(script...)} }

// wireHeader names the wire of an Attempt.
const wireHeader = "X-Fakefeed-Wire"

func (f *fakefeed) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", f.page)
	mux.HandleFunc("GET /state", f.state)
	mux.HandleFunc("POST /do/{what}", f.do)
	for name, wire := range map[string]http.Handler{"sse": f.feed.Handler(decode.SSE{}), "ndjson": f.feed.Handler(decode.NDJSON), "ws": f.feed.WebSocket(nil, nil)} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set(wireHeader, name)
			wire.ServeHTTP(w, r)
		})
	}
	// Other pages in the same browser must not control the feed.
	return http.NewCrossOriginProtection().Handler(mux)
}

func (f *fakefeed) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
	w.Write(page)
}

// tick publishes an event at each interval, until ctx ends.
func (f *fakefeed) tick(ctx context.Context, every time.Duration) {
	var due <-chan time.Time
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-due:
			if f.connected() > 0 { // without a consumer events would pile up
				f.publish("", fmt.Sprintf(`{"at":%q}`, at.UTC().Format(time.RFC3339Nano)))
			}
		}
	}
}

// publish adds an event with the next number as its id.
func (f *fakefeed) publish(typ, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.published++
	f.feed.Publish(mock.Frame(decode.Frame{ID: strconv.Itoa(f.published), Type: typ, Data: []byte(data)}))
}

func (f *fakefeed) connected() (n int) {
	for _, a := range f.feed.Attempts() {
		if a.Ended.IsZero() {
			n++
		}
	}
	return n
}

// do performs the action of a button.
func (f *fakefeed) do(w http.ResponseWriter, r *http.Request) {
	what := r.PathValue("what")
	if what == "publish" {
		f.publish(r.FormValue("type"), r.FormValue("data"))
		return
	}
	step, err := stepOf(what, r.FormValue("value"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.feed.Publish(step)
}

// stepOf returns the step for a button.
func stepOf(what, value string) (mock.Step, error) {
	switch what {
	case "drop":
		return mock.Drop(), nil
	case "end":
		return mock.End(), nil
	case "stall":
		return mock.Stall(), nil
	case "refuse":
		return mock.Refuse(), nil
	case "keepalive":
		return mock.Keepalive(), nil
	case "malformed":
		return mock.Malformed([]byte(value + "\n")), nil
	case "complete":
		return mock.Complete(), nil
	case "pause":
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return mock.Step{}, errors.New("want a duration such as 10s")
		}
		return mock.Pause(d), nil
	case "status":
		code, err := strconv.Atoi(value)
		if err != nil || code < 200 || code > 599 {
			return mock.Step{}, errors.New("want a status from 200 to 599")
		}
		return mock.Status(code), nil
	}
	return mock.Step{}, errors.New("no such button")
}

// A state is what the page shows.
type state struct {
	Events    []event    `json:"events"` // the latest ones sent
	Sent      int        `json:"sent"`
	Consumers []consumer `json:"consumers"` // the latest attempts to connect, newest first
	Connected int        `json:"connected"`
}

type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data string `json:"data"`
}

type consumer struct {
	N     int        `json:"n"`
	Wire  string     `json:"wire"`
	Agent string     `json:"agent"`
	Token string     `json:"token"`
	At    time.Time  `json:"at"`
	Ended *time.Time `json:"ended"` // null while it is connected
	Why   string     `json:"why"`
}

const shown = 20 // events, and attempts

func (f *fakefeed) state(w http.ResponseWriter, _ *http.Request) {
	log, attempts := f.feed.Log(), f.feed.Attempts()
	s := state{Sent: len(log), Connected: f.connected(), Events: []event{}, Consumers: []consumer{}}
	for _, e := range log[max(0, len(log)-shown):] {
		s.Events = append(s.Events, event{e.ID, e.Type, string(e.Data)})
	}
	for n := len(attempts); n > max(0, len(attempts)-shown); n-- {
		s.Consumers = append(s.Consumers, describe(n, attempts[n-1]))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(s)
}

func describe(n int, a mock.Attempt) consumer {
	c := consumer{N: n, Wire: a.Header.Get(wireHeader), Agent: a.Header.Get("User-Agent"), Token: a.Token, At: a.At}
	if !a.Ended.IsZero() {
		c.Ended, c.Why = &a.Ended, "the consumer disconnected"
		if a.Err != nil {
			c.Why = a.Err.Error()
		}
	}
	return c
}
