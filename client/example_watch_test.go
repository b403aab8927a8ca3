package client_test

import (
	"context"
	"encoding/json"
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

// list delivers every pod, and returns the version after which a watch continues. A pod has no token:
// versions say nothing about the order of a list.
func list(ctx context.Context, url string, deliver func(transport.Message) error) (version string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var pods struct {
		Metadata struct{ ResourceVersion string }
		Items    []json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&pods); err != nil {
		return "", err
	}
	for _, pod := range pods.Items {
		if err := deliver(transport.Message{Data: fmt.Appendf(nil, `{"type":"LISTED","object":%s}`, pod)}); err != nil {
			return "", err
		}
	}
	return pods.Metadata.ResourceVersion, nil
}

// Backfill lists before the first watch, and again when the version to continue after is no longer
// known. The events have no Gap.
func ExampleSubscribe_kubernetes() {
	srv := httptest.NewServer(cluster50())
	defer srv.Close()

	sub, err := client.Subscribe(context.Background(), &transport.HTTP{
		URL:       srv.URL + "/api/v1/pods?watch=1&allowWatchBookmarks=true",
		Format:    decode.ConcatJSON,
		Resume:    transport.ResumeQuery("resourceVersion"),
		OnMessage: onWatchEvent,
	}, &client.Options{
		Backfill: func(ctx context.Context, _ client.Gap, deliver func(transport.Message) error) (string, error) {
			return list(ctx, srv.URL+"/api/v1/pods", deliver)
		},
		TokenOf: client.Field("object.metadata.resourceVersion"),
		Skip:    func(ev client.Event) bool { return decode.Field(ev.Data, "type") == "BOOKMARK" },
		Retry:   retry.Constant(10 * time.Millisecond), // for the example; omit it
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		pod := decode.Fields(ev.Data)
		fmt.Println(pod("type"), pod("object.metadata.name"))
	}
	// Output:
	// LISTED db
	// LISTED web
	// ADDED cache
	// LISTED db
	// LISTED cache
	// DELETED db
}

// cluster50 answers like a Kubernetes API server that forgets version 20.
func cluster50() http.Handler {
	lists := []string{
		`{"metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"db"}},{"metadata":{"name":"web"}}]}`,
		`{"metadata":{"resourceVersion":"50"},"items":[{"metadata":{"name":"db"}},{"metadata":{"name":"cache"}}]}`,
	}
	watches := map[string]string{
		"10": `{"type":"ADDED","object":{"metadata":{"name":"cache","resourceVersion":"20"}}}`,
		"20": `{"type":"ERROR","object":{"kind":"Status","code":410}}`,
		"50": `{"type":"DELETED","object":{"metadata":{"name":"db","resourceVersion":"55"}}}{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"60"}}}`,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		query := r.URL.Query()
		switch answer, ok := watches[query.Get("resourceVersion")]; {
		case !query.Has("watch"):
			fmt.Fprint(w, lists[0])
			lists = lists[1:]
		case ok:
			fmt.Fprint(w, answer)
		default:
			w.WriteHeader(http.StatusNoContent) // the example ends
		}
	})
}
