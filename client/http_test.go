package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// answers is a server that gives each request the next answer, and 204 after the last one.
type answers []http.HandlerFunc

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(*a) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	next := (*a)[0]
	*a = (*a)[1:]
	next(w, r)
}

// body answers with status 200, a content type and a body that ends cleanly.
func body(contentType string, chunks ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for _, c := range chunks {
			io.WriteString(w, c)
			w.(http.Flusher).Flush()
		}
	}
}

// cut is body with a connection that is cut off at its end.
func cut(contentType string, chunks ...string) http.HandlerFunc {
	whole := body(contentType, chunks...)
	return func(w http.ResponseWriter, r *http.Request) {
		whole(w, r)
		panic(http.ErrAbortHandler)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

const sse = "text/event-stream"

// onWire runs f in a synctest bubble with a server that gives these answers.
func onWire(t *testing.T, a answers, f func(t *testing.T, h *transport.HTTP)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(&a)
		defer func() {
			if err := srv.Close(); err != nil {
				t.Errorf("closing the server: %v", err)
			}
		}()
		f(t, &transport.HTTP{URL: srv.URL, Client: srv.Client()})
	})
}

// A final answer ends the feed at once, or after three more attempts if a proxy may have sent it.
func TestFinalAnswerStopsAFeedThatNeverWorked(t *testing.T) {
	html := body("text/html", "<!DOCTYPE html><h1>Sign in</h1>")
	cases := map[string]struct {
		answer http.HandlerFunc
		format decode.Format
		check  func(error) bool
	}{
		"HTML":                {html, nil, isProtocol("Sign in")},
		"HTML despite Format": {html, decode.SSE{}, isProtocol("Sign in")},
		"a picture":           {body("image/png", "\x89PNG"), nil, isProtocol("PNG")},
		"no content type":     {body("", "data: a\n\n"), nil, isProtocol("")},
		"an oversize line": {body("application/x-ndjson", "1\n"+strings.Repeat("x", 2000)+"\n"), nil, func(err error) bool {
			var fe *decode.FrameError
			return errors.As(err, &fe) && fe.Limit == 1000 && strings.Contains(err.Error(), "MaxFrame")
		}},
		"an endless line": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", sse)
			for {
				if _, err := io.WriteString(w, strings.Repeat("x", 512)); err != nil {
					return
				}
			}
		}, nil, func(err error) bool { return errors.Is(err, decode.ErrTooLarge) }},
		"a redirect loop": {status(302, "Location", "/"), nil, isProtocol("")},
		"403":             {status(403), nil, isStatus(403)},
		"404":             {status(404), nil, isStatus(404)},
		"401":             {status(401), nil, isStatus(401)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			again := make(answers, 80)
			for i := range again {
				again[i] = c.answer
			}
			onWire(t, again, func(t *testing.T, h *transport.HTTP) {
				h.Format, h.MaxFrame = c.format, 1000
				start := time.Now()
				sub := subscribe(t, h, nil)
				defer sub.Close()
				_, end := data(t, sub, 0)
				var stop *client.StopError
				if !errors.As(end, &stop) || !c.check(end) {
					t.Errorf("got the end %v, want a StopError", end)
				}
				most := time.Duration(0)
				if retry.Classify(end) == retry.ClassProtocol {
					most = 7 * time.Second
				}
				if d := time.Since(start); d > most || most > 0 && stop.Attempts != 4 {
					t.Errorf("stopped after %v and %d attempts, want at most %v", d, stop.Attempts, most)
				}
			})
		})
	}
}

func isProtocol(body string) func(error) bool {
	return func(err error) bool {
		var pe *transport.ProtocolError
		return errors.As(err, &pe) && strings.Contains(string(pe.Body), body)
	}
}

func isStatus(code int) func(error) bool {
	return func(err error) bool {
		var se *transport.StatusError
		return errors.As(err, &se) && se.Code == code
	}
}

// A stream that is cut inside a line, a character or a block neither delivers nor checkpoints the
// partial event.
func TestPartialFrameIsNotDelivered(t *testing.T) {
	cases := map[string][2]string{
		"in a line":                    {"id: 1\ndata: a\n\nid: 2\nda", "id: 2\ndata: b\n\n"},
		"in a character":               {"id: 1\ndata: a\n\nid: 2\ndata: \xe2\x80", "id: 2\ndata: b\n\n"},
		"between the lines of a block": {"id: 1\ndata: a\n\nid: 2\ndata: b\n", "id: 2\ndata: b\n\n"},
	}
	for name, c := range cases {
		for how, first := range map[string]http.HandlerFunc{"broken off": cut(sse, c[0]), "closed": body(sse, c[0])} {
			t.Run(name+", "+how, func(t *testing.T) {
				var lastID string
				second := func(w http.ResponseWriter, r *http.Request) {
					lastID = r.Header.Get("Last-Event-ID")
					body(sse, c[1])(w, r)
				}
				onWire(t, answers{first, second}, func(t *testing.T, h *transport.HTTP) {
					store := new(mock.Store)
					sub := subscribe(t, h, named(store))
					got, end := data(t, sub, 0)
					if end != nil {
						t.Error(end)
					}
					want(t, "events", got, []string{"a", "b"})
					if lastID != "1" {
						t.Errorf("got Last-Event-ID %q, want 1", lastID)
					}
					for _, saved := range store.History("n") {
						if bytes.Contains(saved, []byte(`"token": "2"`)) && !bytes.Contains(saved, []byte(`"events": 2`)) {
							t.Errorf("got the position of the partial event saved: %s", saved)
						}
					}
					sub.Close()
				})
			})
		}
	}
}

// Absurd delays are clamped, and meaningless ones ignored; neither leads to a loop without delay.
func TestServerSuppliedDelaysAreClamped(t *testing.T) {
	yesterday := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC) // a bubble begins the day after
	cases := map[string]struct {
		answer    http.HandlerFunc
		low, high time.Duration
	}{
		"huge retry":                {body(sse, "retry: 9999999999999999999\n\ndata: a\n\n"), 5 * time.Minute, 8 * time.Minute},
		"retry of zero":             {body(sse, "retry: 0\n\ndata: a\n\n"), 10 * time.Millisecond, time.Second + 10*time.Millisecond}, // the jitter comes on top
		"retry":                     {body(sse, "retry: 3000\n\ndata: a\n\n"), 3 * time.Second, 5 * time.Second},
		"Retry-After":               {status(503, "Retry-After", "120"), 2 * time.Minute, 3 * time.Minute},
		"long Retry-After":          {status(503, "Retry-After", "99999999999999999999"), 15 * time.Minute, 20 * time.Minute},
		"negative Retry-After":      {status(503, "Retry-After", "-1"), 10 * time.Millisecond, 2 * time.Second},
		"invalid Retry-After":       {status(503, "Retry-After", "soon"), 10 * time.Millisecond, 2 * time.Second},
		"Retry-After in the past":   {status(503, "Retry-After", yesterday.Format(http.TimeFormat)), 10 * time.Millisecond, 2 * time.Second},
		"Retry-After as a date":     {status(503, "Retry-After", yesterday.Add(24*time.Hour+5*time.Minute).Format(http.TimeFormat)), 5 * time.Minute, 7 * time.Minute},
		"date of a skewed clock":    {status(503, "Date", yesterday.Format(http.TimeFormat), "Retry-After", yesterday.Add(time.Minute).Format(http.TimeFormat)), time.Minute, 2 * time.Minute},
		"429 without anything else": {status(429), 5 * time.Second, 10 * time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			onWire(t, answers{c.answer}, func(t *testing.T, h *transport.HTTP) {
				start := time.Now()
				sub := subscribe(t, h, nil)
				defer sub.Close()
				if _, end := data(t, sub, 0); end != nil {
					t.Error(end)
				}
				if d := time.Since(start); d < c.low || d > c.high {
					t.Errorf("the next attempt came after %v, want %v to %v", d, c.low, c.high)
				}
			})
		})
	}
}

// The server accepts connections and sends nothing.
func TestServerThatNeverAnswersTimesOut(t *testing.T) {
	mute := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	onWire(t, answers{mute, mute, body(sse, "data: a\n\n")}, func(t *testing.T, h *transport.HTTP) {
		start := time.Now()
		sub := subscribe(t, h, nil)
		defer sub.Close()
		got, end := data(t, sub, 0)
		want(t, "events", got, []string{"a"})
		if d := time.Since(start); end != nil || d < time.Minute || d > 2*time.Minute {
			t.Errorf("stopped after %v with %v, want two header timeouts of 30 s", d, end)
		}
	})
}

func TestSilentConnectionIsReplaced(t *testing.T) {
	silent := func(w http.ResponseWriter, r *http.Request) {
		body(sse, "id: 1\ndata: a\n\n")(w, r)
		<-r.Context().Done()
	}
	onWire(t, answers{silent, body(sse, "data: b\n\n")}, func(t *testing.T, h *transport.HTTP) {
		h.IdleTimeout = 20 * time.Second
		var reasons []error
		sub := subscribe(t, h, &client.Options{Trace: &client.Trace{
			Disconnected: func(d client.DisconnectInfo) { reasons = append(reasons, d.Err) },
		}})
		defer sub.Close()
		got, _ := data(t, sub, 0)
		want(t, "events", got, []string{"a", "b"})
		var timeout *transport.TimeoutError
		if len(reasons) == 0 || !errors.As(reasons[0], &timeout) || timeout.Op != "idle" {
			t.Errorf("Trace: got %v, want a timeout first", reasons)
		}
	})
}

func TestCredentialsAreRefreshedOnceAfter401(t *testing.T) {
	var sent []string
	guard := func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
		if sent[len(sent)-1] != "Bearer 2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body(sse, "data: a\n\n")(w, r)
	}
	onWire(t, answers{guard, guard, guard}, func(t *testing.T, h *transport.HTTP) {
		token := 1
		h.Prepare = func(r *http.Request) error {
			if transport.CredentialsRejected(r.Context()) {
				token++
			}
			r.Header.Set("Authorization", fmt.Sprintf("Bearer %d", token))
			return nil
		}
		sub := subscribe(t, h, nil)
		defer sub.Close()
		got, end := data(t, sub, 2)
		want(t, "events", got, []string{"a", "a"})
		want(t, "credentials sent", sent, []string{"Bearer 1", "Bearer 2", "Bearer 2"})
		if end != nil {
			t.Error(end)
		}
	})
}

// The token is not sent to the other origin, so events may be lost.
func TestRedirectToAnotherOriginReportsAGap(t *testing.T) {
	var leaked []string
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Authorization", "X-Api-Key", "Cookie", "Last-Event-ID"} {
			if v := r.Header.Get(name); v != "" {
				leaked = append(leaked, name)
			}
		}
		body(sse, "id: 9\ndata: b\n\n")(w, r)
	}
	onWire(t, answers{body(sse, "id: 1\ndata: a\n\n"), status(307, "Location", "http://elsewhere.test/x"), elsewhere},
		func(t *testing.T, h *transport.HTTP) {
			h.Header = http.Header{"Authorization": {"Bearer x"}, "X-Api-Key": {"y"}, "Cookie": {"z=1"}}
			sub := subscribe(t, h, nil)
			defer sub.Close()
			var got []string
			for ev, err := range sub.Events() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%s, gap %v", ev.Data, ev.Gap != nil))
			}
			want(t, "events", got, []string{"a, gap false", "b, gap true"})
			want(t, "leaked", leaked, nil)
		})
}
