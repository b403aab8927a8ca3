package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// onWatchEvent checks each event of a Kubernetes watch. There, an error can be an event of a response
// with status 200: an ERROR with code 410 means that the position is no longer known.
func onWatchEvent(m *transport.Message) error {
	if field := decode.Fields(m.Data); field("type") == "ERROR" {
		return &watchError{code: field("object.code")}
	}
	return nil
}

// The methods of a watchError report what can be done about it; see package retry.
type watchError struct{ code string }

func (e *watchError) Error() string      { return "the watch ends with code " + e.code }
func (e *watchError) RejectsToken() bool { return e.code == "410" }

// OnMessage turns an ERROR event into an error. Here the subscription continues without the rejected
// position, and reports that events may be missing.
func ExampleSubscribe_kubernetes() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Query().Get("resourceVersion") {
		case "20":
			fmt.Fprint(w, `{"type":"ERROR","object":{"kind":"Status","code":410}}`)
		case "":
			fmt.Fprint(w, `{"type":"ADDED","object":{"metadata":{"resourceVersion":"50"}}}`)
			fmt.Fprint(w, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"60"}}}`)
		case "60":
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer srv.Close()

	sub, err := client.Subscribe(context.Background(), &transport.HTTP{
		URL:       srv.URL + "/api/v1/pods?watch=1&allowWatchBookmarks=true",
		Format:    decode.ConcatJSON,
		Resume:    transport.ResumeQuery("resourceVersion"),
		OnMessage: onWatchEvent,
	}, &client.Options{
		StartAfter: "20",
		TokenOf:    client.Field("object.metadata.resourceVersion"),
		Skip:       func(ev client.Event) bool { return decode.Field(ev.Data, "type") == "BOOKMARK" },
		Retry:      retry.Constant(10 * time.Millisecond), // for the example; omit it
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		if ev.Gap != nil {
			fmt.Println("what came after", ev.Gap.From, "may be lost:", ev.Gap.Reason)
		}
		fmt.Println("version", ev.Token)
	}
	// Output:
	// what came after 20 may be lost: token rejected
	// version 50
}
