package client_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// answering is an HTTP server without a network: it answering request n, counted from 0.
type answering func(n int) (status int, header http.Header, body io.Reader)

// attempts subscribes to the answering for a time and returns when each request was made, and
// what ended the subscription, if anything did.
func attempts(t *testing.T, a answering, policy retry.Policy, d time.Duration) (at []time.Duration, end error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		feed := &transport.HTTP{URL: "http://feed.example", Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			code, header, body := a(len(at))
			at = append(at, time.Since(begin))
			return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(body), ProtoMajor: 1, ContentLength: -1, TransferEncoding: []string{"chunked"}}, nil
		})}}
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Retry: policy})
		if err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(d, func() { sub.Close() })
		defer stop.Stop()
		_, end = data(t, sub, 0)
		sub.Close()
	})
	return at, end
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func typ(media string) http.Header { return http.Header{"Content-Type": {media}} }

// paused says what it has to say, waits, and ends.
type paused struct {
	steps []string
	pause time.Duration
}

func (p *paused) Read(b []byte) (int, error) {
	if len(p.steps) == 0 {
		return 0, io.EOF
	}
	time.Sleep(p.pause)
	n := copy(b, p.steps[0])
	p.steps = p.steps[1:]
	return n, nil
}

// An error in JSON with status 200 is a single event, again and again.
func TestJSONErrorWithStatus200(t *testing.T) {
	at, end := attempts(t, func(int) (int, http.Header, io.Reader) {
		return 200, typ("application/json"), strings.NewReader(`{"error":"maintenance"}`)
	}, retry.Policy{}, time.Hour)
	if len(at) > 200 || len(at) < 100 || end != nil {
		t.Errorf("%d requests in an hour and %v, want delays that grow to 30 s", len(at), end)
	}
}

// A quiet feed with keepalives that a proxy cuts every 45 s is online nearly all the time.
func TestFeedThatIsCutEvery45Seconds(t *testing.T) {
	at, end := attempts(t, func(int) (int, http.Header, io.Reader) {
		return 200, typ("text/event-stream"), &paused{[]string{":\n", ":\n", ":\n"}, 15 * time.Second}
	}, retry.Policy{}, time.Hour)
	if len(at) < 78 || end != nil {
		t.Errorf("%d connections of 45 s in an hour and %v: offline for too long", len(at), end)
	}
}

// With constant delays, as in an EventSource, the field retry is followed to the millisecond, and 0 is
// a value.
func TestRetryField(t *testing.T) {
	eventSource := retry.Constant(3 * time.Second)
	eventSource.MaxServerDelay = 24 * time.Hour
	for field, want := range map[string]time.Duration{
		"": 3 * time.Second, "retry: 300\n": 300 * time.Millisecond, "retry: 200\nretry: -1\n": 200 * time.Millisecond,
		"retry: 0\n": retry.MinDelay, "retry: 200\n\nretry: 0\n": retry.MinDelay, "retry: 1\n": retry.MinDelay,
		"retry: 3600000\n": time.Hour,
	} {
		at, _ := attempts(t, func(int) (int, http.Header, io.Reader) {
			return 200, typ("text/event-stream"), strings.NewReader(field + "data: x\n\n")
		}, eventSource, 3*want+want/2)
		if fmt.Sprint(at) != fmt.Sprint([]time.Duration{0, want, 2 * want, 3 * want}) {
			t.Errorf("%q: requests after %v, want one each %v", field, at, want)
		}
	}
}

// What a proxy or a server answering for a while does not end a feed that has worked.
func TestRoutineTroubleAfterGoodService(t *testing.T) {
	html := func(int) (int, http.Header, io.Reader) {
		return 200, typ("text/html"), strings.NewReader("<h1>Back soon</h1>")
	}
	refusal := func(code int) answering {
		return func(int) (int, http.Header, io.Reader) { return code, http.Header{}, strings.NewReader("") }
	}
	for name, trouble := range map[string]answering{
		"HTML page": html, "403 of a firewall": refusal(403), "404 of a proxy": refusal(404),
		"405": refusal(405), "409": refusal(409), "418": refusal(418), "421": refusal(421), "423": refusal(423),
		"302 without Location": refusal(302), "206": refusal(206),
	} {
		t.Run(name, func(t *testing.T) {
			at, end := attempts(t, func(n int) (int, http.Header, io.Reader) {
				switch {
				case n == 0:
					return 200, typ("text/event-stream"), strings.NewReader("id: 1\ndata: a\n\n")
				case n < 20:
					return trouble(n)
				}
				return 204, nil, strings.NewReader("")
			}, retry.Policy{}, 24*time.Hour)
			if len(at) != 21 || end != nil {
				t.Errorf("%d requests and %v, want 20 and the end of the feed", len(at), end)
			}
		})
	}
}

// The old connection of a process that was restarted is not reaped yet (MCP's server).
func TestConflictAtTheStart(t *testing.T) {
	at, end := attempts(t, func(n int) (int, http.Header, io.Reader) {
		if n < 10 {
			return 409, http.Header{}, strings.NewReader("")
		}
		return 204, nil, strings.NewReader("")
	}, retry.Policy{}, time.Hour)
	if len(at) != 11 || end != nil {
		t.Errorf("%d requests and %v", len(at), end)
	}
}

// A connection that Reconnect ended has worked all the same.
func TestRoutineTroubleAfterReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		feed := &transport.HTTP{URL: "http://feed.example", Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			resp := &http.Response{StatusCode: 404, Header: typ("text/event-stream"), Body: io.NopCloser(strings.NewReader("")), ProtoMajor: 2}
			switch n {
			case 1:
				pr, pw := io.Pipe()
				go io.WriteString(pw, "id: 1\ndata: a\n\n")
				resp.StatusCode, resp.Body = 200, pr
			case 10:
				resp.StatusCode = 204
			}
			return resp, nil
		})}}
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		sub.Reconnect()
		if _, err := sub.Next(t.Context()); err != io.EOF || n != 10 {
			t.Errorf("%d requests and %v, want 10 and the end of the feed", n, err)
		}
	})
}

// A POST whose response ends says in the log why that is the end.
func TestEndOfAPOSTInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &logbook{}
		feed := &transport.HTTP{URL: "http://feed.example", Method: "POST", Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: typ("text/event-stream"), Body: io.NopCloser(strings.NewReader("data: a\n\n")), ProtoMajor: 2}, nil
		})}}
		sub := subscribe(t, feed, &client.Options{Logger: book.logger()})
		defer sub.Close()
		if got, err := data(t, sub, 0); len(got) != 1 || err != nil {
			t.Errorf("%q and %v", got, err)
		}
		sub.Close()
		if !slices.Contains(book.brief(), "INFO the feed is complete") {
			t.Errorf("the log has only %q", book.brief())
		}
	})
}
