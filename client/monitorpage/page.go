// Package monitorpage shows the subscriptions of a client.Monitor: as HTML for people, and as JSON for
// programs.
//
//	mux.Handle("/feeds", &monitorpage.Page{Monitor: monitor})
//
// # Requests
//
// A page has one path, and links to itself by query only, so it works below any prefix. The list takes
// these parameters, and each of them may be omitted:
//
//   - q: a part of the name
//   - health: "failed", "stuck", "outage", "checkpoint", "full", "paused", "ended", "ok", or "ill" for
//     the first four
//   - sort: "health", "name", "state", "since", "rate", "lag", "buffer", "oldest", "failures", "gaps" or
//     "checkpoint"; with "-" before it, in reverse. Default: health, the ill ones first
//   - page: from 1, of 100 subscriptions each
//   - id: shows one subscription, with its timeline and history
//   - format: "html" or "json". Default: by the Accept header
//
// A request that accepts text/event-stream gets the page again every 2 s, until its context ends, its
// http.Server shuts down, or 5 min have passed. At most 1024 of them are served at once, on one core.
// Without JavaScript, the page reloads every 10 s.
//
// The page of a subscription whose consumer is stuck shows the stacks of the goroutines that have its
// pprof label: see [client.Monitor].
//
// # Security
//
// The page has the names of subscriptions, ids of events where client.Stats has them, and the names of
// functions in stacks. It has no URL, header, token or payload. Errors are described by their class, status and cause: their texts are
// for the log, because a server or a handler may have written them. The page has no login:
// serve it on an internal address, or wrap it with the program's authentication.
package monitorpage

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

// A Page is an http.Handler that shows a Monitor. It must not be copied.
type Page struct {
	// Monitor has the subscriptions. Required.
	Monitor *client.Monitor

	// Actions adds buttons that reconnect, pause and resume a subscription, and accepts their POST
	// requests. Those of another origin are refused, see [http.CrossOriginProtection]. Default: the
	// page changes nothing.
	Actions bool

	protection http.CrossOriginProtection
	streams    atomic.Int32
	frames     frames

	mu      sync.Mutex // held for a few instructions
	servers map[*http.Server]chan struct{}
}

// ServeHTTP answers a GET or HEAD with the page, and a POST with an action.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would make the Origin of a form null
	h.Set("Content-Security-Policy", assets().policy)
	switch {
	case r.Method == http.MethodPost && p.Actions:
		p.act(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		if p.Actions {
			h.Set("Allow", "GET, HEAD, POST")
		}
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	default:
		p.show(w, r)
	}
}

func (p *Page) show(w http.ResponseWriter, r *http.Request) {
	q, format := parseQuery(r.URL.Query()), formatOf(r)
	if format == "stream" {
		p.stream(w, r, q)
		return
	}
	v := p.view(q)
	if v == nil {
		http.Error(w, "no such subscription", http.StatusNotFound)
		return
	}
	var body bytes.Buffer
	contentType := "text/html; charset=utf-8"
	var err error
	if format == "json" {
		contentType = "application/json"
		err = json.NewEncoder(&body).Encode(v)
	} else {
		err = assets().html.ExecuteTemplate(&body, "page", v)
	}
	if err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	if r.Method != http.MethodHead {
		w.Write(body.Bytes())
	}
}

// formatOf returns "html", "json" or "stream".
func formatOf(r *http.Request) string {
	if f := r.URL.Query().Get("format"); f == "html" || f == "json" {
		return f
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	switch {
	case strings.Contains(accept, "text/html"):
		return "html"
	case strings.Contains(accept, "text/event-stream"):
		return "stream"
	case strings.Contains(accept, "json"):
		return "json"
	}
	return "html"
}

// act performs an action on one subscription, and shows it.
func (p *Page) act(w http.ResponseWriter, r *http.Request) {
	if err := p.protection.Check(r); err != nil {
		http.Error(w, "cross-origin request refused", http.StatusForbidden)
		return
	}
	id, _ := strconv.ParseUint(r.URL.Query().Get("id"), 10, 64)
	s, ok := p.Monitor.Lookup(id)
	if !ok || s.Subscription == nil {
		http.Error(w, "no such subscription runs", http.StatusNotFound)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1024)
	switch r.PostFormValue("action") {
	case "reconnect":
		s.Subscription.Reconnect()
	case "pause":
		s.Subscription.Pause()
	case "resume":
		s.Subscription.Resume()
	default:
		http.Error(w, "action must be reconnect, pause or resume", http.StatusBadRequest)
		return
	}
	w.Header().Set("Location", "?id="+strconv.FormatUint(id, 10)) // relative: the prefix is unknown
	w.WriteHeader(http.StatusSeeOther)
}

const (
	updateEvery = 2 * time.Second
	streamFor   = 5 * time.Minute
	shareFor    = time.Second
	maxStreams  = 1024
	writeWithin = 10 * time.Second
)

// stream sends the changing part of the page as server-sent events.
func (p *Page) stream(w http.ResponseWriter, r *http.Request, q query) {
	if r.Method == http.MethodHead {
		return
	}
	defer p.streams.Add(-1)
	if p.streams.Add(1) > maxStreams {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many streams", http.StatusServiceUnavailable)
		return
	}
	data := p.frames.get(p, q)
	if data == nil {
		http.Error(w, "no such subscription", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	shutdown := p.shutdownOf(r)
	ticker := time.NewTicker(updateEvery)
	defer ticker.Stop()
	for begin := time.Now(); data != nil && time.Since(begin) < streamFor; data = p.frames.get(p, q) {
		out.SetWriteDeadline(time.Now().Add(writeWithin))
		if _, err := w.Write(data); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-shutdown:
			return
		}
	}
}

// frames are the newest events of the streams. Those for the same query share one, so that a page that
// many people have open costs what one does.
type frames struct {
	mu   sync.Mutex // held while one is made: the streams share one core
	made time.Time
	by   map[query][]byte
}

// get returns the event for q, at most shareFor old, or nil if there is no such subscription.
func (f *frames) get(p *Page, q query) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); f.by == nil || now.Sub(f.made) >= shareFor {
		f.made, f.by = now, make(map[query][]byte)
	}
	data, ok := f.by[q]
	if !ok {
		if v := p.view(q); v != nil {
			data = frame(v)
		}
		f.by[q] = data
	}
	return data
}

// frame returns the changing part of the page as an event.
func frame(v *view) []byte {
	var html, event bytes.Buffer
	if err := assets().html.ExecuteTemplate(&html, "live", v); err != nil {
		return []byte(": the page cannot be shown\n\n")
	}
	event.WriteString("retry: 5000\n")
	for line := range bytes.SplitSeq(bytes.ReplaceAll(html.Bytes(), []byte("\r"), nil), []byte("\n")) {
		event.WriteString("data: ")
		event.Write(line)
		event.WriteByte('\n')
	}
	event.WriteByte('\n')
	return event.Bytes()
}

// shutdownOf returns a channel that is closed when the server of r shuts down, which does not end the
// contexts of requests.
func (p *Page) shutdownOf(r *http.Request) <-chan struct{} {
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if done := p.servers[server]; done != nil {
		return done
	}
	if p.servers == nil {
		p.servers = make(map[*http.Server]chan struct{})
	}
	done := make(chan struct{})
	p.servers[server] = done
	server.RegisterOnShutdown(sync.OnceFunc(func() { close(done) }))
	return done
}
