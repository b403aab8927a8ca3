package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Fakes are a server with feeds of each kind.
type fakes struct {
	ctx    context.Context
	base   string // "127.0.0.1:port"
	server *http.Server
	hook   *webhook.Receiver
	done   sync.WaitGroup
	cancel context.CancelFunc
}

const secret = "the secret of the webhook"

func startFakes(ctx context.Context) (*fakes, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &fakes{base: l.Addr().String(), hook: &webhook.Receiver{Provider: provider.GitHub(secret)}}
	f.ctx, f.cancel = context.WithCancel(ctx)
	mux := http.NewServeMux()
	mux.HandleFunc("/sse", stream("text/event-stream", "id: %d\ndata: price\n\n"))
	mux.HandleFunc("/ndjson", stream("application/x-ndjson", "{\"id\":%d}\n"))
	mux.HandleFunc("/poll", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `[{"id":"%d"}]`, time.Now().Unix())
	})
	mux.HandleFunc("/ws", serveSocket)
	mux.HandleFunc("/busy", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) })
	mux.HandleFunc("/gone", http.NotFound)
	mux.Handle("/hook", f.hook)
	f.server = &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return f.ctx }}
	f.done.Go(func() { f.server.Serve(l) })
	f.done.Go(f.post)
	return f, nil
}

func (f *fakes) stop() {
	f.cancel()
	f.server.Close()
	f.done.Wait()
}

// A feed is one to subscribe to. The consumer of a stuck one does not work.
type feed struct {
	name   string
	source transport.Source
	stuck  bool
}

// feeds returns fifty feeds.
func (f *fakes) feeds() []feed {
	url := func(path string) string { return "http://" + f.base + path }
	list := []feed{
		{"github-webhooks", f.hook, false},
		{"orders-stuck", &transport.HTTP{URL: url("/sse")}, true},
		{"fraud-unavailable", &transport.HTTP{URL: url("/busy")}, false},
		{"legacy-gone", &transport.HTTP{URL: url("/gone")}, false},
		{"ledger-refused", &transport.HTTP{URL: "http://127.0.0.1:1/"}, false},
		{"rates-flapping", &transport.HTTP{URL: url("/sse?for=3s")}, false},
	}
	for n := len(list); n < 50; n++ {
		switch n % 4 {
		case 0:
			list = append(list, feed{fmt.Sprintf("prices-%02d-sse", n), &transport.HTTP{URL: url("/sse")}, false})
		case 1:
			list = append(list, feed{fmt.Sprintf("audit-%02d-ndjson", n), &transport.HTTP{URL: url("/ndjson")}, false})
		case 2:
			list = append(list, feed{fmt.Sprintf("trades-%02d-websocket", n), &transport.WebSocket{URL: "ws://" + f.base + "/ws"}, false})
		case 3:
			list = append(list, feed{fmt.Sprintf("invoices-%02d-poll", n),
				&transport.Poll{URL: url("/poll"), ID: "id", Resume: transport.ResumeQuery("after"), Interval: 2 * time.Second}, false})
		}
	}
	return list
}

// stream sends an event five times a second, for the time that the query asks for.
func stream(mediaType, format string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		ctx := r.Context()
		if d, err := time.ParseDuration(r.URL.Query().Get("for")); err == nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for ctx.Err() == nil {
			fmt.Fprintf(w, format, time.Now().UnixMilli())
			w.(http.Flusher).Flush()
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}
}

func serveSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := conn.CloseRead(r.Context())
	for ; ctx.Err() == nil; wait(ctx, 100*time.Millisecond) {
		conn.Write(ctx, websocket.MessageText, []byte(`{"trade":1}`))
	}
}

// post sends a webhook each second.
func (f *fakes) post() {
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	to := &sender.Client{Provider: provider.GitHub(secret), URL: "http://" + f.base + "/hook", Client: web}
	for n := 0; f.ctx.Err() == nil; n++ {
		to.Post(f.ctx, sender.Delivery{ID: fmt.Sprint(n), Header: http.Header{"X-Github-Event": {"push"}}, Body: []byte(`{}`)})
		wait(f.ctx, time.Second)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
