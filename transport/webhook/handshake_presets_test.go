package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const formType = "application/x-www-form-urlencoded"

// The requests with which senders verify an endpoint are answered as they require, and yield no
// event. Without a signature, a similar request is refused.
func TestPresetHandshakes(t *testing.T) {
	const secret = "a-secret"
	for name, c := range map[string]struct {
		p            *provider.Provider
		method, body string
		header       http.Header
		status       int
		answer       string
		echo         string // a header of the answer
	}{
		"Okta":                     {provider.Okta(secret), "GET", "", http.Header{"X-Okta-Verification-Challenge": {"abc"}}, 200, `{"verification":"abc"}`, ""},
		"Okta without a challenge": {provider.Okta(secret), "GET", "", nil, 405, "", ""},
		"Trello":                   {provider.Trello(secret), "HEAD", "", nil, 200, "", ""},
		"Trello, GET":              {provider.Trello(secret), "GET", "", nil, 405, "", ""},
		"Intercom":                 {provider.Intercom(secret), "HEAD", "", nil, 200, "", ""},
		"Mandrill":                 {provider.Mandrill(secret), "HEAD", "", nil, 200, "", ""},
		"Mandrill, POST": {
			provider.Mandrill(secret), "POST", "mandrill_events=%5B%5D",
			http.Header{"Content-Type": {formType}, "X-Mandrill-Signature": {"9AgKIEjuGHZ7XfKzDLZe0vNjxuw="}}, 200, "", "",
		},
		"Mandrill with an event": {
			provider.Mandrill(secret), "POST", "mandrill_events=%5B%7B%7D%5D",
			http.Header{"Content-Type": {formType}, "X-Mandrill-Signature": {"9AgKIEjuGHZ7XfKzDLZe0vNjxuw="}}, 401, "", "",
		},
		"WooCommerce": {provider.WooCommerce(secret), "POST", "webhook_id=7", http.Header{"Content-Type": {formType}}, 200, "", ""},
		"WooCommerce without a signature": {
			provider.WooCommerce(secret), "POST", `{"id":7}`, http.Header{"Content-Type": {"application/json"}}, 400, "", "",
		},
		"Asana":           {provider.Asana(func(string) bool { return true }), "POST", "{}", http.Header{"X-Hook-Secret": {"b537207f"}}, 200, "", "X-Hook-Secret"},
		"Asana, refused":  {provider.Asana(nil, secret), "POST", "{}", http.Header{"X-Hook-Secret": {"b537207f"}}, 403, "", ""},
		"Notion":          {provider.Notion(func(string) bool { return true }), "POST", `{"verification_token":"secret_a"}`, nil, 200, "", ""},
		"Notion, refused": {provider.Notion(nil, secret), "POST", `{"verification_token":"secret_a"}`, nil, 403, "", ""},
		"Notion before the handshake": {
			provider.Notion(func(string) bool { return true }), "POST", `{"id":"1"}`,
			http.Header{"X-Notion-Signature": {"sha256=" + strings.Repeat("0", 64)}}, 503, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: c.p}
				if c.p.SignsURL() {
					w.URL = "https://example.com/"
				}
				conn := openHook(t, w)
				defer conn.Close()
				r := httptest.NewRequest(c.method, "/", strings.NewReader(c.body))
				for name, values := range c.header {
					r.Header[name] = values
				}
				a := wantStatus(t, post(w, r), c.status)
				var body strings.Builder
				if err := a.Write(&body); err != nil {
					t.Fatal(err)
				}
				if _, text, _ := strings.Cut(body.String(), "\r\n\r\n"); text != c.answer {
					t.Errorf("got the answer %q, want %q", text, c.answer)
				}
				if c.echo != "" && a.Header.Get(c.echo) != r.Header.Get(c.echo) {
					t.Errorf("got header %q, want %s of the request", a.Header, c.echo)
				}
				conn.Close()
				if m, err := conn.next(); err == nil {
					t.Errorf("got the event %s, want none", m.Data)
				}
			})
		})
	}
}

// A secret that arrives in a handshake verifies the deliveries after it.
func TestSecretOfAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret, body = "b537207f20cbfa02", `{"events":[{"action":"added","resource":{"resource_type":"task"}}]}`
		w := &webhook.Receiver{Provider: provider.Asana(func(s string) bool { return s == secret })}
		conn := openHook(t, w)
		owner := provider.Asana(nil, secret)
		wantStatus(t, post(w, sign(t, owner, "", body)), 503)
		shake := httptest.NewRequest("POST", "/", nil)
		shake.Header.Set("X-Hook-Secret", secret)
		wantStatus(t, post(w, shake), 200)
		a := post(w, sign(t, owner, "", body))
		m := read(t, conn)
		if m.Type != "task:added" || m.Delivery.Header.Get("X-Hook-Signature") != "" {
			t.Errorf("got type %q, header %v, want task:added without the signature", m.Type, m.Delivery.Header)
		}
		m.Settle(nil)
		wantStatus(t, a, 204)
		wantStatus(t, post(w, sign(t, provider.Asana(nil, "another-secret"), "", body)), 401)
	})
}
