package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// A feed serves server-sent events and misbehaves. Its events do not depend on the listeners:
// event n happens n ticks after 1970, and the feed keeps all of them.
type feed struct {
	url      string
	server   *http.Server
	requests atomic.Int64
}

const tick = 200 * time.Millisecond

func startFeed() (*feed, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &feed{url: "http://" + l.Addr().String() + "/prices"}
	f.server = &http.Server{Handler: f, ErrorLog: nil}
	go f.server.Serve(l) // until stop
	return f, nil
}

func (f *feed) stop() { f.server.Close() }

// ServeHTTP answers each request in a different way, in turn.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const live = 7 // events before the trouble starts
	switch (f.requests.Add(1) - 1) % 5 {
	case 0:
		f.stream(w, r, live)
		abort(w) // the connection drops
	case 1:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "come back later", http.StatusServiceUnavailable)
	case 2:
		f.stream(w, r, live)
		<-r.Context().Done() // silence, with the connection open
	case 3:
		f.stream(w, r, live)
		io.WriteString(w, "id: 1\ndata: half an ev") // cut in the middle of an event
		abort(w)
	case 4:
		f.stream(w, r, live) // the server ends the stream cleanly
	}
}

// stream sends the events after the last one that the client has seen, and then live events
// until it has sent the given number of those.
func (f *feed) stream(w http.ResponseWriter, r *http.Request, live int) {
	w.Header().Set("Content-Type", "text/event-stream")
	now := time.Now().UnixNano() / int64(tick)
	n, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		n = now
	}
	io.WriteString(w, "retry: 300\n\n")
	for n++; n <= now+int64(live); n++ {
		if n > now {
			time.Sleep(time.Until(time.Unix(0, n*int64(tick))))
		}
		fmt.Fprintf(w, "id: %d\ndata: {\"fruit\":%q,\"price\":%d.%02d}\n\n", n, fruit[n%int64(len(fruit))], 1+n%3, n*37%100)
		w.(http.Flusher).Flush()
		if r.Context().Err() != nil {
			return
		}
	}
}

var fruit = [...]string{"apple", "banana", "cherry", "damson", "elderberry"}

// abort drops the connection.
func abort(w http.ResponseWriter) {
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}
