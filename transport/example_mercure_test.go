package transport_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// A Mercure hub that no longer has the position of a subscriber responds with 200 and sends what it
// still has. Only a header field of its response reports the loss.
func ExampleMercureGap() {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Header.Get("Last-Event-ID") == "" {
			io.WriteString(w, "id: a\ndata: one\n\n")
			return // the events b and c are published, and dropped from the history
		}
		w.Header().Set("Mercure-Last-Event-ID", "earliest")
		io.WriteString(w, "id: d\ndata: four\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer hub.Close()

	sub, err := client.Subscribe(context.Background(), &transport.HTTP{URL: hub.URL, OnResponse: transport.MercureGap}, nil)
	if err != nil {
		panic(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %s", ev.ID, ev.Data)
		if ev.Gap != nil {
			fmt.Printf(" (after %q events may be missing: %s)", ev.Gap.From, ev.Gap.Reason)
		}
		fmt.Println()
		if ev.ID == "d" {
			break
		}
	}
	// Output:
	// a one
	// d four (after "a" events may be missing: notice)
}
