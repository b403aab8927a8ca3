package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

func TestOnResponse(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Mcp-Session-Id", "s1")
		feed(w, "1\n")
	})
	var session, body string
	lost := transport.Gap{Reason: transport.Notice, From: "a"}
	conn := open(t, &transport.HTTP{URL: srv.URL, OnResponse: func(resp *http.Response) (*transport.Gap, error) {
		session = resp.Header.Get("Mcp-Session-Id")
		b, _ := io.ReadAll(resp.Body)
		body = string(b)
		return &lost, nil
	}}, "")
	if session != "s1" || body != "" {
		t.Errorf("session %q, body %q", session, body)
	}
	if m := read(t, conn); m.Gap == nil || *m.Gap != lost || string(m.Data) != "1" {
		t.Errorf("first message %+v", m)
	}
}

// A loss is reported even if the connection brings no message.
func TestGapOfOnResponseWithoutMessage(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { feed(w) })
	lost := transport.Gap{Reason: transport.Notice, From: "a"}
	conn := open(t, &transport.HTTP{URL: srv.URL, OnResponse: func(*http.Response) (*transport.Gap, error) { return &lost, nil }}, "")
	if m := read(t, conn); m.Gap == nil || *m.Gap != lost || m.Kind != decode.KindKeepalive {
		t.Errorf("message %+v", m)
	}
	if err := readError(t, conn); err != io.EOF {
		t.Errorf("then %v", err)
	}
}

type gone struct{}

func (gone) Error() string      { return "session gone" }
func (gone) RejectsToken() bool { return true }

func TestOnResponseErrors(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { feed(w, "1\n") })
	for _, tt := range []struct {
		err       error
		method    string
		retryable string
	}{
		{gone{}, "GET", "unset"},
		{gone{}, "POST", "false"},
		{transport.ErrEnd, "GET", "unset"},
	} {
		err := openError(t, &transport.HTTP{URL: srv.URL, Method: tt.method, OnResponse: func(*http.Response) (*transport.Gap, error) {
			return nil, tt.err
		}}, "t")
		if !errors.Is(err, tt.err) || retryable(err) != tt.retryable {
			t.Errorf("%s: error %v, retryable %s", tt.method, err, retryable(err))
		}
	}
}

// https://mercure.rocks/spec, Reconciliation: the hub answers a request that names a position
// with the id after which it resumes, or "earliest".
func TestMercureGap(t *testing.T) {
	for _, tt := range []struct {
		name, token, field, answer string
		resume                     transport.Resume
		gap                        bool
	}{
		{name: "known", token: "urn:uuid:1", field: "Mercure-Last-Event-ID", answer: "urn:uuid:1"},
		{name: "unknown", token: "urn:uuid:1", field: "Mercure-Last-Event-ID", answer: "earliest", gap: true},
		{name: "unknown, before 1.0", token: "urn:uuid:1", field: "Last-Event-ID", answer: "earliest", gap: true},
		{name: "other", token: "urn:uuid:1", field: "Mercure-Last-Event-ID", answer: "urn:uuid:7", gap: true},
		{name: "everything", token: "earliest", field: "Mercure-Last-Event-ID", answer: "earliest"},
		{name: "no position", field: "Mercure-Last-Event-ID", answer: "earliest"},
		{name: "no field", token: "urn:uuid:1", field: "X-Other", answer: "earliest"},
		{name: "query", token: "urn:uuid:1", resume: transport.ResumeQuery("last_event_id"), field: "Mercure-Last-Event-ID", answer: "earliest", gap: true},
		{name: "query, before 1.0", token: "urn:uuid:1", resume: transport.ResumeQuery("lastEventID"), field: "Last-Event-ID", answer: "earliest", gap: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(tt.field, tt.answer)
				feed(w, "1\n")
			})
			conn := open(t, &transport.HTTP{URL: srv.URL, Resume: tt.resume, OnResponse: transport.MercureGap}, tt.token)
			m := read(t, conn)
			if got := m.Gap != nil; got != tt.gap || got && (m.Gap.Reason != transport.Notice || m.Gap.From != tt.token) {
				t.Errorf("gap %+v, want one: %t", m.Gap, tt.gap)
			}
		})
	}
}

// A WebSocket's handshake has a header, too.
func TestOnResponseOfWebSocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("1"); p.wait() })
		lost := transport.Gap{Reason: transport.Notice, From: "a"}
		var order []string
		w.OnResponse = func(resp *http.Response) (*transport.Gap, error) {
			b, err := io.ReadAll(resp.Body)
			order = append(order, "response "+resp.Header.Get("Upgrade"))
			if len(b) > 0 || err != nil || resp.StatusCode != 101 || resp.Request == nil || resp.Request.URL.Host != "feed.test" {
				t.Errorf("status %d, body %q, %v, request %v", resp.StatusCode, b, err, resp.Request)
			}
			return &lost, nil
		}
		w.Hello = func(context.Context, *transport.Socket, string) error {
			order = append(order, "hello")
			return nil
		}
		conn := openSocket(t, w, "")
		if m := read(t, conn); m.Gap == nil || *m.Gap != lost || string(m.Data) != "1" {
			t.Errorf("first message %+v", m)
		}
		if !slices.Equal(order, []string{"response websocket", "hello"}) {
			t.Errorf("called %q", order)
		}
		conn.Close()

		w.OnResponse = func(*http.Response) (*transport.Gap, error) { return nil, gone{} }
		if err := openSocketError(t, w, "t"); !errors.Is(err, gone{}) || retryable(err) != "unset" {
			t.Errorf("error %v, retryable %s", err, retryable(err))
		}
	})
}
