package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

func TestStatus(t *testing.T) {
	tests := []struct {
		codes   []int
		token   string
		kind    string
		class   string // without Retry-After
		rejects bool
	}{
		{codes: []int{204}, kind: "end"},
		{codes: []int{205, 206, 300, 304, 305}, kind: "protocol", class: "protocol"},
		{codes: []int{400, 402, 403, 404, 405, 406, 407, 413, 414, 416, 451, 499}, kind: "status", class: "permanent"},
		{codes: []int{401}, kind: "status", class: "auth"},
		{codes: []int{420, 429}, kind: "status", class: "rate limited"},
		{codes: []int{408, 409, 421, 425, 500, 501, 502, 503, 504, 599}, kind: "status", class: "server"},
		{codes: []int{410}, kind: "status", class: "permanent"},
		{codes: []int{410}, token: "t", kind: "status", class: "token rejected", rejects: true},
		{codes: []int{404}, token: "t", kind: "status", class: "permanent"},
	}
	for _, tt := range tests {
		for _, code := range tt.codes {
			t.Run(fmt.Sprint(code, tt.token), func(t *testing.T) {
				srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", "7")
					w.Header().Set("Content-Type", "application/x-ndjson")
					w.WriteHeader(code)
					if code != 204 && code != 205 && code != 304 {
						io.WriteString(w, strings.Repeat("x", 10<<10))
					}
				})
				err := openError(t, &transport.HTTP{URL: srv.URL}, tt.token)
				switch tt.kind {
				case "end":
					if err != transport.ErrComplete {
						t.Errorf("got error %v, want ErrComplete", err)
					}
				case "protocol":
					if e := want[*transport.ProtocolError](t, err); !e.Protocol() || e.Header.Get("Retry-After") != "7" || len(e.Body) > 4096 {
						t.Errorf("got error %+v, want a ProtocolError with Retry-After 7", e)
					}
				case "status":
					e := want[*transport.StatusError](t, err)
					if e.StatusCode() != code || len(e.Body) != 4096 || e.RetryAfter() != 7*time.Second || e.Origin != srv.URL || e.RejectsToken() != tt.rejects {
						t.Errorf("got code %d, %d bytes of body, Retry-After %v, origin %q, rejects token %t, want %d, 4096, 7s, %q, %t", e.StatusCode(), len(e.Body), e.RetryAfter(), e.Origin, e.RejectsToken(), code, srv.URL, tt.rejects)
					}
					e.Header.Del("Retry-After")
				}
				if got := class(err); tt.kind != "end" && got != tt.class {
					t.Errorf("class %s, want %s", got, tt.class)
				}
			})
		}
	}
}

// NestJS answers a POST whose handler streams with 201.
func TestOtherSuccessStatuses(t *testing.T) {
	for _, tt := range []struct {
		typ    string
		format decode.Format
		ok     bool
	}{
		{"text/event-stream", nil, true},
		{"application/x-ndjson", nil, true},
		{"application/json", nil, false},
		{"application/json", decode.ConcatJSON, true},
		{"text/html", decode.ConcatJSON, false},
	} {
		for _, code := range []int{201, 202, 203, 226} {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.typ)
				w.WriteHeader(code)
			})
			conn, err := (&transport.HTTP{URL: srv.URL, Method: "POST", Format: tt.format}).Open(t.Context(), "")
			if err == nil {
				conn.Close()
			}
			if (err == nil) != tt.ok {
				t.Errorf("%d %s with Format %T: got %v, want success %t", code, tt.typ, tt.format, err, tt.ok)
			}
		}
	}
}

func TestSeveralContentTypes(t *testing.T) {
	for _, tt := range []struct {
		types []string
		ok    bool
	}{
		{[]string{"text/html", "text/event-stream"}, true},
		{[]string{"text/plain, text/event-stream;charset=utf-8"}, true},
		{[]string{"text/event-stream", "nonsense", "*/*", ""}, true},
		{[]string{"text/event-stream", "text/html"}, false},
	} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Header()["Content-Type"] = tt.types })
		conn, err := (&transport.HTTP{URL: srv.URL}).Open(t.Context(), "")
		if err == nil {
			conn.Close()
		}
		if (err == nil) != tt.ok {
			t.Errorf("%q: got %v, want success %t", tt.types, err, tt.ok)
		}
	}
}

// A wrong media type is reported without waiting for the body.
func TestContentTypeIsReportedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &transport.HTTP{URL: "http://feed.example", Client: inMemory(t, steps("text/csv", every(150*time.Millisecond, "1,2\n", 1000)))}
		start := time.Now()
		err := openError(t, h, "")
		const text = `transport: http://feed.example: content type "text/csv" is not a feed: set Format if its body is a feed (the body starts with "1,2 1,2 1,2")`
		if d := time.Since(start); d > 500*time.Millisecond || err.Error() != text {
			t.Errorf("got %v after %v, want %s at once", err, d, text)
		}
		want[*transport.ProtocolError](t, err)
	})
}

func TestRefusalText(t *testing.T) {
	long := "long-" + strings.Repeat("qwertzuiopyxcvbn", 300) // more than an excerpt holds
	for _, tt := range []struct {
		name, typ, body, want string
	}{
		{"text", "text/plain", "no such stream\n", `: "no such stream"`},
		{"lines of JSON", "application/json", "{\n  \"error\": \"quota\"\n}", `: "{ \"error\": \"quota\" }"`},
		{"HTML", "text/html; charset=utf-8", "<!doctype html><p>no</p>", ""},
		{"binary", "application/octet-stream", "\x00\x01\x02", ""},
		{"empty", "text/plain", "", ""},
		{"control bytes", "text/plain", "\x1b[31mred\u202e\xff", `: "[31mred"`},
		{"long", "text/plain", strings.Repeat("é", 200), `: "` + strings.Repeat("é", 80) + `…"`},
		{"path and query", "text/plain", "Cannot GET /secret/path?key=k%2F123&z=9", `: "Cannot GET …"`},
		{"path in JSON", "application/json", `{"path":"\/secret\/path"}`, `: "{\"path\":\"…\"}"`},
		{"query, decoded", "text/plain", "bad key k/123", `: "bad key …"`},
		{"authorization", "text/plain", "token s3cr3t-token expired", `: "token … expired"`},
		{"own header", "text/plain", "X-Api-Key: abcdef", `: "X-Api-Key: …"`},
		{"cookie", "text/plain", "session 0123456 unknown", `: "session … unknown"`},
		{"position", "text/plain", "position pos-77 unknown", `: "position … unknown"`},
		{"body", "text/plain", "key sk-0123456789abcdef unknown", `: "key … unknown"`},
		{"password in the body", "application/json", `{"input":{"password":"hunter2"}}`, `: "{\"input\":{\"password\":\"…\"}}"`},
		{"cut by the server", "text/plain", "X-Long: long-qwertzuiopyx...", `: "X-Long: …..."`},
		{"cut by the excerpt", "text/plain", strings.Repeat(" ", 3000) + "X-Long: " + long, `: "X-Long: …"`},
		{"cut after a few bytes", "text/plain", strings.Repeat(" ", 4080) + "no " + long, `: "no"`},
		{"escaped as a path", "text/plain", "no with%20space", `: "no …"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.typ)
				w.WriteHeader(400)
				io.WriteString(w, tt.body)
			})
			err := openError(t, &transport.HTTP{
				URL: srv.URL + "/secret/path?key=k%2F123&z=9", Method: "POST", Body: []byte(`{"key":"sk-0123456789abcdef","password":"hunter2"}`),
				Header: http.Header{"Authorization": {"Bearer s3cr3t-token"}, "X-Api-Key": {"abcdef"}, "Cookie": {"a=b; sid=0123456"}, "X-Long": {long}, "X-Space": {"with space"}},
			}, "pos-77")
			if want := "transport: " + srv.URL + ": status 400 Bad Request" + tt.want; err.Error() != want {
				t.Errorf("error  %v\nwant %s", err, want)
			}
		})
	}
}

func TestContentType(t *testing.T) {
	tests := []struct {
		contentType, encoding string
		format                decode.Format
		ok                    bool
	}{
		{contentType: "text/event-stream", ok: true},
		{contentType: "text/event-stream;charset=windows-1252", ok: true},
		{contentType: "Text/Event-Stream ; charset", ok: true},
		{contentType: `text/event-stream; charset="utf`, ok: true},
		{contentType: "application/x-ndjson; =;;", ok: true},
		{contentType: "application/json", ok: true},
		{contentType: "application/json;stream=watch", ok: true},
		{contentType: "application/json-seq", ok: true},
		{contentType: "text/html; charset=utf-8"},
		{contentType: "text/plain"},
		{contentType: "image/png"},
		{contentType: ""},
		{contentType: "text/plain", format: decode.NDJSON, ok: true},
		{contentType: "", format: decode.NDJSON, ok: true},
		{contentType: "TEXT/HTML", format: decode.NDJSON},
		{contentType: "application/xhtml+xml;x", format: decode.SSE{}},
		{contentType: "text/event-stream", encoding: "identity", ok: true},
		{contentType: "text/event-stream", encoding: "br"},
		{contentType: "text/event-stream", encoding: "gzip, gzip", ok: true},
		{contentType: "text/event-stream", encoding: "none", ok: true},
		{contentType: "text/event-stream", encoding: "gzip, gzip, gzip"},
		{contentType: "text/event-stream", encoding: "gzip, br"},
		{contentType: "text/event-stream", encoding: "deflate"},
	}
	for _, tt := range tests {
		t.Run(tt.contentType+" "+tt.encoding, func(t *testing.T) {
			page := strings.Repeat("<p>Sign in</p>", 1000)
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{tt.contentType}
				if tt.encoding != "" {
					w.Header().Set("Content-Encoding", tt.encoding)
				}
				io.WriteString(w, page)
			})
			h := &transport.HTTP{URL: srv.URL, Format: tt.format}
			if tt.ok {
				open(t, h, "")
				return
			}
			err := openError(t, h, "")
			e := want[*transport.ProtocolError](t, err)
			if string(e.Body) != page[:4096] || e.Origin != srv.URL || class(err) != "protocol" {
				t.Errorf("got %d bytes of body, origin %q, class %s, want 4096, %q, protocol", len(e.Body), e.Origin, class(err), srv.URL)
			}
			if tt.encoding != "" && !strings.Contains(err.Error(), tt.encoding) {
				t.Errorf("got %v, want one that names the encoding %q", err, tt.encoding)
			}
		})
	}
}

func TestUnauthorized(t *testing.T) {
	tests := []struct {
		name     string
		accept   string // the credentials that the server accepts
		prepare  bool
		requests []string // Authorization of each
		ok       bool
	}{
		{"fresh at once", "Bearer 1", true, []string{"Bearer 1"}, true},
		{"refreshed", "Bearer 2", true, []string{"Bearer 1", "Bearer 2"}, true},
		{"refreshed in vain", "Bearer 3", true, []string{"Bearer 1", "Bearer 2"}, false},
		{"no Prepare", "Bearer 1", false, []string{""}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.Header.Get("Authorization"))
				if w := record(r); w.Body != "q" || w.Header.Get("Last-Event-Id") != "t" {
					t.Errorf("got body %q, token %q, want q, t", w.Body, w.Header.Get("Last-Event-Id"))
				}
				if got[len(got)-1] != tt.accept {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				feed(w)
			})
			n := 0
			h := &transport.HTTP{URL: srv.URL, Method: "POST", Body: []byte("q")}
			if tt.prepare {
				h.Prepare = func(req *http.Request) error {
					n++
					if transport.CredentialsRejected(req.Context()) != (n == 2) {
						t.Errorf("call %d: CredentialsRejected: got %t, want %t", n, n != 2, n == 2)
					}
					req.Header.Set("Authorization", fmt.Sprintf("Bearer %d", n))
					return nil
				}
			}
			if tt.ok {
				open(t, h, "t")
			} else if e := want[*transport.StatusError](t, openError(t, h, "t")); e.Code != 401 {
				t.Errorf("got error %v, want status 401", e)
			}
			if !slices.Equal(got, tt.requests) {
				t.Errorf("requests with %q, want %q", got, tt.requests)
			}
		})
	}
}

func TestPrepareErrors(t *testing.T) {
	boom := errors.New("no credentials")
	tests := []struct {
		name      string
		prepare   func(*http.Request) error
		is        error
		retryable string
	}{
		{"its own", func(*http.Request) error { return boom }, boom, "unset"},
		{"a value no header can hold", func(r *http.Request) error { r.Header.Set("Authorization", "secret\n"); return nil }, nil, "false"},
		{"a name no header can have", func(r *http.Request) error { r.Header["secret key"] = nil; return nil }, nil, "false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("a request was sent") })
			err := openError(t, &transport.HTTP{URL: srv.URL, Prepare: tt.prepare}, "")
			if tt.is != nil && !errors.Is(err, tt.is) || retryable(err) != tt.retryable {
				t.Errorf("got error %v, retryable %s, want %v, %s", err, retryable(err), tt.is, tt.retryable)
			}
		})
	}
}

func TestOnResponse(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Mcp-Session-Id", "s1")
		feed(w, "1\n")
	})
	var session, body string
	lost := transport.Gap{Reason: transport.GapNotice, From: "a"}
	conn := open(t, &transport.HTTP{URL: srv.URL, OnResponse: func(resp *http.Response) (*transport.Gap, error) {
		session = resp.Header.Get("Mcp-Session-Id")
		b, _ := io.ReadAll(resp.Body)
		body = string(b)
		return &lost, nil
	}}, "")
	if session != "s1" || body != "" {
		t.Errorf("got session %q, body %q, want s1 and none", session, body)
	}
	if m := read(t, conn); m.Gap == nil || *m.Gap != lost || string(m.Data) != "1" {
		t.Errorf("first message: got %+v, want 1 with the gap %+v", m, lost)
	}
}

// A Gap is reported even if the connection delivers no message.
func TestGapOfOnResponseWithoutMessage(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { feed(w) })
	lost := transport.Gap{Reason: transport.GapNotice, From: "a"}
	conn := open(t, &transport.HTTP{URL: srv.URL, OnResponse: func(*http.Response) (*transport.Gap, error) { return &lost, nil }}, "")
	if m := read(t, conn); m.Gap == nil || *m.Gap != lost || m.Kind != decode.KindKeepalive {
		t.Errorf("got message %+v, want a keepalive with the gap %+v", m, lost)
	}
	if err := readError(t, conn); err != io.EOF {
		t.Errorf("next Read: got %v, want io.EOF", err)
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
		{transport.ErrComplete, "GET", "unset"},
	} {
		err := openError(t, &transport.HTTP{URL: srv.URL, Method: tt.method, OnResponse: func(*http.Response) (*transport.Gap, error) {
			return nil, tt.err
		}}, "t")
		if !errors.Is(err, tt.err) || retryable(err) != tt.retryable {
			t.Errorf("%s: got error %v, retryable %s, want %v, %s", tt.method, err, retryable(err), tt.err, tt.retryable)
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
			if got := m.Gap != nil; got != tt.gap || got && (m.Gap.Reason != transport.GapNotice || m.Gap.From != tt.token) {
				t.Errorf("got gap %+v, want one: %t", m.Gap, tt.gap)
			}
		})
	}
}

// OnResponse gets the response of a WebSocket handshake before OnConnect runs.
func TestOnResponseOfWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("1"); p.wait() })
		lost := transport.Gap{Reason: transport.GapNotice, From: "a"}
		var order []string
		w.OnResponse = func(resp *http.Response) (*transport.Gap, error) {
			b, err := io.ReadAll(resp.Body)
			order = append(order, "response "+resp.Header.Get("Upgrade"))
			if len(b) > 0 || err != nil || resp.StatusCode != 101 || resp.Request == nil || resp.Request.URL.Host != "feed.test" {
				t.Errorf("got status %d, body %q, %v, request %v, want 101 without a body", resp.StatusCode, b, err, resp.Request)
			}
			return &lost, nil
		}
		w.OnConnect = func(context.Context, *transport.Socket, string) error {
			order = append(order, "hello")
			return nil
		}
		conn := openSocket(t, w, "")
		if m := read(t, conn); m.Gap == nil || *m.Gap != lost || string(m.Data) != "1" {
			t.Errorf("first message: got %+v, want 1 with the gap %+v", m, lost)
		}
		if !slices.Equal(order, []string{"response websocket", "hello"}) {
			t.Errorf("got calls %q, want OnResponse before OnConnect", order)
		}
		conn.Close()

		w.OnResponse = func(*http.Response) (*transport.Gap, error) { return nil, gone{} }
		if err := openSocketError(t, w, "t"); !errors.Is(err, gone{}) || retryable(err) != "unset" {
			t.Errorf("got error %v, retryable %s, want %v, unset", err, retryable(err), gone{})
		}
	})
}
