package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
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

// A calls is a server that answers the requests of one call and records them.
type calls struct {
	answers answers
	log     []string    // method, Last-Event-ID and body of each request
	at      []time.Time // of each request
	header  http.Header // of the last request
}

func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.log = append(c.log, strings.Join([]string{r.Method, r.Header.Get("Last-Event-ID"), string(body)}, " "))
	c.at = append(c.at, time.Now())
	c.header = r.Header.Clone()
	c.answers.ServeHTTP(w, r)
}

// onCall runs f in a bubble with a server that answers an MCP call.
func onCall(t *testing.T, a answers, f func(t *testing.T, c *calls, feed func() *transport.HTTP)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &calls{answers: a}
		srv := mock.NewServer(c)
		defer func() {
			if err := srv.Close(); err != nil {
				t.Errorf("closing the server: %v", err)
			}
		}()
		f(t, c, func() *transport.HTTP {
			return &transport.HTTP{
				URL: srv.URL + "/mcp", Client: srv.Client(), Method: "POST", Body: []byte("call"),
				Header:      http.Header{"Content-Type": {"application/json"}, "Mcp-Session-Id": {"s"}},
				ResumeByGet: true,
				OnMessage:   endWithResult,
			}
		})
	})
}

// endWithResult delivers the response of a JSON-RPC call as the last event. An event without data
// only names a position.
func endWithResult(m *transport.Message) error {
	if len(m.Data) == 0 {
		m.Kind = decode.KindPosition
		return nil
	}
	if decode.Field(m.Data, "result") == "" {
		return nil
	}
	m.Parts = []transport.Message{*m}
	return transport.ErrComplete
}

const (
	primed   = "id: 0\nretry: 500\ndata: \n\n"
	progress = "id: 1\ndata: {\"progress\":1}\n\n"
	result   = "id: 2\ndata: {\"result\":2}\n\n"
	unnamed  = "data: {\"progress\":1}\n\n"
)

// A POST is sent once, and a GET continues its response.
func TestResumeByGet(t *testing.T) {
	post, second := "POST  call", "GET 1 "
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	cases := map[string]struct {
		answers answers
		change  func(*transport.HTTP)
		log     []string
		data    int // events
		check   func(error) bool
	}{
		"whole":            {answers: answers{body(sse, primed, progress, result)}, log: []string{post}, data: 2},
		"one JSON":         {answers: answers{body("application/json", `{"result":2}`)}, log: []string{post}, data: 1},
		"cut":              {answers: answers{cut(sse, primed, progress), body(sse, result)}, log: []string{post, second}, data: 2},
		"closed by server": {answers: answers{body(sse, primed), body(sse, progress, result)}, log: []string{post, "GET 0 "}, data: 2},
		"polled": {answers: answers{body(sse, primed, progress), body(sse), cut(sse, ": hi\n\n"), body(sse, result)},
			log: []string{post, second, second, second}, data: 2},
		"resumed later": {answers: answers{cut(sse, primed, progress), status(503), hangUp, status(401), status(429), body("text/html", "<p>"), body(sse, result)},
			change: func(h *transport.HTTP) { h.Prepare = func(*http.Request) error { return nil } },
			log:    []string{post, second, second, second, second, second, second}, data: 2},
		"redirected": {answers: answers{cut(sse, progress), status(307, "Location", "/other"), body(sse, result)},
			log: []string{post, second, second}, data: 2},
		"redirected POST": {answers: answers{status(307, "Location", "/other"), cut(sse, progress), body(sse, result)},
			log: []string{post, post, second}, data: 2},
		"seen other": {answers: answers{status(303, "Location", "/other"), cut(sse, unnamed)},
			log: []string{post, "GET  "}, data: 1, check: isFinal(io.ErrUnexpectedEOF)},
		"refused":             {answers: answers{status(503), status(429), body(sse, result)}, log: []string{post, post, post}, data: 1},
		"maybe done":          {answers: answers{status(502)}, log: []string{post}, check: isStatus(502)},
		"maybe sent":          {answers: answers{hangUp}, log: []string{post}, check: isFinal(io.EOF)},
		"not a feed":          {answers: answers{body("text/html", "<p>")}, log: []string{post}, check: isProtocol("")},
		"cut before an id":    {answers: answers{cut(sse, unnamed)}, log: []string{post}, data: 1, check: isFinal(io.ErrUnexpectedEOF)},
		"closed before an id": {answers: answers{body(sse, unnamed)}, log: []string{post}, data: 1, check: isFinal(io.ErrUnexpectedEOF)},
		"nothing":             {answers: answers{body(sse)}, log: []string{post}, check: isFinal(io.ErrUnexpectedEOF)},
		"id taken back":       {answers: answers{body(sse, progress, "id:\n\n")}, log: []string{post}, data: 1, check: isFinal(io.ErrUnexpectedEOF)},
		"unknown session":     {answers: answers{cut(sse, progress), status(404)}, log: []string{post, second}, data: 1, check: isStatus(404)},
		"position is gone":    {answers: answers{cut(sse, progress), status(410)}, log: []string{post, second}, data: 1, check: isStatus(410)},
		"id not for a header": {answers: answers{body(sse, progress)}, change: func(h *transport.HTTP) {
			h.OnMessage = func(m *transport.Message) error { m.Token = "a\nb"; return nil }
		}, log: []string{post}, data: 1, check: isA[*transport.TokenError]},
		"no GET":               {answers: answers{cut(sse, progress), status(405)}, log: []string{post, second}, data: 1, check: isStatus(405)},
		"EndFeed":              {answers: answers{body(sse, unnamed)}, change: end(transport.EndFeed), log: []string{post}, data: 1},
		"EndFeed, cut":         {answers: answers{cut(sse, progress), body(sse, unnamed)}, change: end(transport.EndFeed), log: []string{post, second}, data: 2},
		"EndFeed, no id":       {answers: answers{cut(sse, unnamed)}, change: end(transport.EndFeed), log: []string{post}, data: 1, check: isFinal(io.ErrUnexpectedEOF)},
		"EndUnexpected":        {answers: answers{body(sse, progress), body(sse, result)}, change: end(transport.EndUnexpected), log: []string{post, second}, data: 2},
		"EndUnexpected, no id": {answers: answers{body(sse, unnamed)}, change: end(transport.EndUnexpected), log: []string{post}, data: 1, check: isFinal(io.ErrUnexpectedEOF)},
		"no content":           {answers: answers{status(204)}, log: []string{post}},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			onCall(t, tt.answers, func(t *testing.T, c *calls, feed func() *transport.HTTP) {
				h := feed()
				if tt.change != nil {
					tt.change(h)
				}
				sub := subscribe(t, h, nil)
				defer sub.Close()
				got, err := data(t, sub, 0)
				if tt.check == nil {
					tt.check = func(err error) bool { return err == nil || err == io.EOF }
				}
				if len(got) != tt.data || !tt.check(err) {
					t.Errorf("got %q and %v, want %d events", got, err, tt.data)
				}
				want(t, "requests", c.log, tt.log)
				if _, typed := c.header["Content-Type"]; c.header.Get("Mcp-Session-Id") != "s" || typed != (strings.HasPrefix(c.log[len(c.log)-1], "POST")) {
					t.Errorf("header of the last request: got %v", c.header)
				}
			})
		})
	}
}

func end(p transport.EndPolicy) func(*transport.HTTP) {
	return func(h *transport.HTTP) { h.End = p }
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// isFinal matches the end of a subscription after one attempt that failed with cause.
func isFinal(cause error) func(error) bool {
	return func(err error) bool {
		var stop *client.StopError
		return errors.As(err, &stop) && errors.Is(err, cause) && retry.Classify(err) == retry.ClassPermanent
	}
}

// What ends a connection on the client's side does not repeat the POST either.
func TestReconnectDoesNotRepeatAPost(t *testing.T) {
	for name, first := range map[string]string{"before an id": unnamed, "after an id": progress} {
		t.Run(name, func(t *testing.T) {
			open := func(w http.ResponseWriter, r *http.Request) {
				body(sse, first)(w, r)
				<-r.Context().Done()
			}
			onCall(t, answers{open, body(sse, result)}, func(t *testing.T, c *calls, feed func() *transport.HTTP) {
				sub := subscribe(t, feed(), nil)
				defer sub.Close()
				var got []string
				var end error
				for ev, err := range sub.Events() {
					if end = err; err != nil {
						break
					}
					got = append(got, ev.ID)
					if len(got) == 1 {
						sub.Reconnect()
					}
				}
				posts := 0
				for _, r := range c.log {
					if strings.HasPrefix(r, "POST") {
						posts++
					}
				}
				if posts != 1 {
					t.Errorf("requests: got %q, want one POST", c.log)
				}
				if resumed := first == progress; resumed != (end == nil || end == io.EOF) || !resumed && !strings.Contains(end.Error(), "already sent") {
					t.Errorf("got events %q and %v", got, end)
				}
			})
		})
	}
}

// A new process continues the call from its checkpoint, and never sends it again once there is one.
func TestResumeByGetFromAStore(t *testing.T) {
	for name, second := range map[string]http.HandlerFunc{"known": body(sse, result), "gone": status(410), "unknown": status(404)} {
		t.Run(name, func(t *testing.T) {
			onCall(t, answers{cut(sse, primed, progress), second}, func(t *testing.T, c *calls, feed func() *transport.HTTP) {
				store := new(mock.Store)
				o := &client.Options{Store: store, Name: "call"}
				sub := subscribe(t, feed(), o)
				if got, err := data(t, sub, 1); len(got) != 1 {
					t.Fatalf("got %q and %v, want one event", got, err)
				}
				sub.Close()

				sub = subscribe(t, feed(), o)
				got, err := data(t, sub, 0)
				sub.Close()
				if known := name == "known"; known != slices.Contains(got, `{"result":2}`) || !known && !isA[*transport.StatusError](err) {
					t.Errorf("after the restart: got %q and %v", got, err)
				}
				want(t, "requests", c.log, []string{"POST  call", "GET 1 "})
			})
		})
	}
}

// A server's retry: 500 is followed within 450 to 700 ms, as the MCP conformance suite requires.
func TestMCPRetry(t *testing.T) {
	a := answers{body(sse, primed)}
	for range 50 { // with and without progress, cleanly ended and cut
		a = append(a, body(sse), cut(sse, ": hi\n\n"), body(sse, progress))
	}
	onCall(t, append(a, body(sse, result)), func(t *testing.T, c *calls, feed func() *transport.HTTP) {
		sub := subscribe(t, feed(), &client.Options{Retry: retry.MCP()})
		defer sub.Close()
		data(t, sub, 0)
		if len(c.at) != 152 {
			t.Fatalf("requests: got %d, want 152", len(c.at))
		}
		for i, at := range c.at[1:] {
			if d := at.Sub(c.at[i]); d < 450*time.Millisecond || d > 700*time.Millisecond {
				t.Errorf("delay %d: got %v, want 450 to 700 ms", i, d)
			}
		}
	})
}

// Two Opens at the same time send the POST once.
func TestConcurrentOpensSendAPostOnce(t *testing.T) {
	onCall(t, answers{body(sse, result), body(sse, result)}, func(t *testing.T, c *calls, feed func() *transport.HTTP) {
		h := feed()
		errs := make(chan error)
		for range 2 {
			go func() {
				s, err := h.Open(t.Context(), "")
				if err == nil {
					s.Close()
				}
				errs <- err
			}()
		}
		if one, two := <-errs, <-errs; (one == nil) == (two == nil) || len(c.log) != 1 {
			t.Errorf("got errors %v and %v after requests %q, want one error and one request", one, two, c.log)
		}
	})
}

// A request that could not be sent is sent later.
func TestUnsentPostIsSentLater(t *testing.T) {
	onCall(t, answers{body(sse, result)}, func(t *testing.T, c *calls, feed func() *transport.HTTP) {
		h := feed()
		dials := 0
		tr := h.Client.Transport.(*http.Transport).Clone()
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials++; dials < 3 {
				return nil, errors.New("refused")
			}
			return dial(ctx, network, addr)
		}
		defer tr.CloseIdleConnections()
		h.Client = &http.Client{Transport: tr}
		sub := subscribe(t, h, nil)
		defer sub.Close()
		got, err := data(t, sub, 0)
		want(t, "events", got, []string{`{"result":2}`})
		if err != nil && err != io.EOF || dials != 3 {
			t.Errorf("got %v after %d dials, want the end after 3", err, dials)
		}
	})
}

// The GET does not follow a redirect on which it would lose its position.
func TestResumeByGetAtAnUntrustedOrigin(t *testing.T) {
	a := answers{cut(sse, progress)}
	for range 3 {
		a = append(a, status(307, "Location", "http://other.test/mcp"))
	}
	onCall(t, append(a, body(sse, result)), func(t *testing.T, c *calls, feed func() *transport.HTTP) {
		sub := subscribe(t, feed(), nil)
		defer sub.Close()
		data(t, sub, 0)
		want(t, "requests", c.log, []string{"POST  call", "GET 1 ", "GET 1 ", "GET 1 ", "GET 1 "})
	})
}

// What cannot work is reported together.
func TestResumeByGetValidate(t *testing.T) {
	err := (&transport.HTTP{URL: "http://a.test", ResumeByGet: true, End: transport.EndReconnect}).Validate()
	for _, field := range []string{"HTTP.ResumeByGet: ", "HTTP.End: "} {
		if !strings.Contains(fmt.Sprint(err), field) {
			t.Errorf("Validate: got %v, want one that names %s", err, field)
		}
	}
}
