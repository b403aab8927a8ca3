package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// get returns a GET request with a query.
func get(query string) *provider.Request {
	return &provider.Request{Method: "GET", URL: "https://example.com/hook?" + query, Header: http.Header{}, Time: at}
}

// handshake calls p's Handshake, if it has one.
func handshake(p *provider.Provider, r *provider.Request) (*provider.Answer, bool) {
	if p.Handshake == nil {
		return nil, false
	}
	return p.Handshake(r)
}

// A handshakeCase is a request, and the answer to it.
type handshakeCase struct {
	r      *provider.Request
	status int // 0: r is not a handshake
	body   string
}

// testHandshake tests the Handshake of p.
func testHandshake(t *testing.T, p *provider.Provider, cases []handshakeCase) {
	t.Helper()
	for _, c := range cases {
		a, ok := handshake(p, c.r)
		if want := c.status != 0; ok != want {
			t.Errorf("%s: got %t, want %t", c.r.URL, ok, want)
			continue
		}
		if ok {
			testAnswer(t, c.r.URL, a, c.status, c.body)
		}
	}
}

// testAnswer reports an answer with another status or body, or one that a browser might
// render.
func testAnswer(t *testing.T, name string, a *provider.Answer, status int, body string) {
	t.Helper()
	if a == nil {
		t.Errorf("%s: got no answer, want %d %q", name, status, body)
		return
	}
	if a.Status != status || string(a.Body) != body {
		t.Errorf("%s: got %d %q, want %d %q", name, a.Status, a.Body, status, body)
	}
	if body == "" {
		return
	}
	want := "text/plain; charset=utf-8"
	if body[0] == '{' {
		want = "application/json"
	}
	if got := a.Header.Get("Content-Type"); got != want {
		t.Errorf("%s: got Content-Type %q, want %q", name, got, want)
	}
	if got := a.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("%s: got X-Content-Type-Options %q, want nosniff", name, got)
	}
}

// testUnsignedHandshake receives unsigned POSTs. Those that are not handshakes are refused.
func testUnsignedHandshake(t *testing.T, p *provider.Provider, cases []handshakeCase) {
	t.Helper()
	for _, c := range cases {
		c.r.Method = "POST"
		precheck := p.Precheck(c.r)
		d, err := p.Receive(c.r)
		if c.status == 0 {
			if err == nil {
				t.Errorf("%s: got a Delivery, want an error", c.r.URL)
			}
			continue
		}
		if precheck != nil || err != nil {
			t.Errorf("%s: got errors %v and %v, want none", c.r.URL, precheck, err)
			continue
		}
		testAnswer(t, c.r.URL, d.Answer, c.status, c.body)
		if d.Proof != transport.ProofNone || d.Key != -1 || d.Events != nil {
			t.Errorf("%s: got %+v, want ProofNone, key -1 and no events", c.r.URL, d)
		}
	}
}

// A responseCase is a delivery, and the answer of Respond to it.
type responseCase struct {
	name   string
	header http.Header
	body   string
	status int    // 0: one of Answers
	answer string // or, if status is 0, the type of the event
	events int    // of the delivery
}

// testRespond tests the Respond of p, which has a key to sign with.
func testRespond(t *testing.T, p *provider.Provider, cases []responseCase) {
	t.Helper()
	for _, c := range cases {
		r := get("")
		r.Method, r.Body = "POST", []byte(c.body)
		for name, values := range c.header {
			r.Header[name] = values
		}
		if _, err := p.Receive(r); err == nil {
			t.Errorf("%s: an unsigned request: got no error, want one", c.name)
		}
		if err := p.Sign(r, "d1"); err != nil {
			t.Fatal(err)
		}
		d, err := p.Receive(r)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(d.Events) != c.events {
			t.Errorf("%s: got %d events, want %d", c.name, len(d.Events), c.events)
		}
		switch {
		case c.status != 0:
			testAnswer(t, c.name, d.Answer, c.status, c.answer)
		case d.Answer != nil:
			t.Errorf("%s: got the answer %+v, want none", c.name, d.Answer)
		case c.answer != "" && d.Events[0].Type != c.answer:
			t.Errorf("%s: got type %q, want %q", c.name, d.Events[0].Type, c.answer)
		}
	}
}

// A provider without handshakes does not answer those of others.
func TestNoHandshake(t *testing.T) {
	testHandshake(t, provider.GitHub(key), []handshakeCase{
		{get("hub.challenge=1&challenge=1&crc_token=1&validationToken=1"), 0, ""},
	})
}
