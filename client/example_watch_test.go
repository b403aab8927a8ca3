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

// watch is a watch of Kubernetes. There, what the status of a response says elsewhere can
// come as an event: an ERROR with code 410 says that the position is no longer known. A
// Transport around HTTP makes an error of it.
type watch struct{ *transport.HTTP }

func (w watch) Open(ctx context.Context, token string) (transport.Conn, error) {
	conn, err := w.HTTP.Open(ctx, token)
	if err != nil {
		return nil, err
	}
	return watchConn{conn}, nil
}

type watchConn struct{ transport.Conn }

func (c watchConn) Read() (transport.Message, error) {
	m, err := c.Conn.Read()
	if err != nil || m.Kind != decode.Data {
		return m, err
	}
	if ev := decode.Check(m.Data); ev.Field("type") == "ERROR" {
		return m, &watchError{code: ev.Field("object.code")}
	}
	return m, nil
}

// A watchError says by its methods what can be done about it, see package retry.
type watchError struct{ code string }

func (e *watchError) Error() string      { return "the watch ends with code " + e.code }
func (e *watchError) RejectsToken() bool { return e.code == "410" }

// An error that comes as an event is made what it is: here the subscription goes on without
// the position that was refused, and says that events may be missing.
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

	soon := retry.Schedule{Initial: 10 * time.Millisecond} // in a program: retry.Kubernetes()
	sub, err := client.Subscribe(context.Background(), watch{&transport.HTTP{
		URL:    srv.URL + "/api/v1/pods?watch=1&allowWatchBookmarks=true",
		Format: decode.ConcatJSON{},
		Resume: transport.ResumeQuery("resourceVersion"),
	}}, &client.Options{
		StartAt: "20",
		Token:   client.Field("object.metadata.resourceVersion"),
		Skip:    func(ev client.Event) bool { return decode.Field("type")(ev.Data) == "BOOKMARK" },
		Retry:   retry.Policy{Reconnect: soon, TokenRejected: soon},
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
			fmt.Println("lost what came after", ev.Gap.From, "because:", ev.Gap.Err)
		}
		fmt.Println("version", ev.Token)
	}
	// Output:
	// lost what came after 20 because: the watch ends with code 410
	// version 50
}
