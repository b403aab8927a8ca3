package transport_test

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/provider"
)

// TestWebhookRepeatWithoutID repeats deliveries of senders that give no id which can be
// trusted, as those do: with what is of the attempt changed.
func TestWebhookRepeatWithoutID(t *testing.T) {
	for name, c := range map[string]struct {
		provider            *provider.Provider
		first, again, other string
	}{
		"meta": {
			provider.Meta("verify", "a secret"),
			`{"entry":[{"id":"1","time":1}]}`, `{"entry":[{"id":"1","time":1}]}`, `{"entry":[{"id":"1","time":2}]}`,
		},
		"x": {
			provider.X("a secret"),
			`{"follow_events":[{"at":1}]}`, `{"follow_events":[{"at":1}]}`, `{"follow_events":[{"at":2}]}`,
		},
		"discord": { // an interaction has an id, and a webhook event the time at which it was
			provider.Discord(edPEM(t)),
			`{"type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"1"}}`,
			`{"type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"1"}}`,
			`{"type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"2"}}`,
		},
		"zoom": {
			provider.Zoom("a secret"),
			`{"event":"meeting.started","event_ts":1}`, `{"event":"meeting.started","event_ts":1}`, `{"event":"meeting.started","event_ts":2}`,
		},
		"hubspot": {
			provider.HubSpot("a secret"),
			`[{"eventId":1,"attemptNumber":0}]`, `[{"eventId":1,"attemptNumber": 10}]`, `[{"eventId":2,"attemptNumber":0}]`,
		},
		"linear": { // whose time is written by sign
			provider.Linear("a secret"),
			`{"type":"Issue","data":{"id":"1"}}`, `{"type":"Issue","data":{"id":"1"}}`, `{"type":"Issue","data":{"id":"2"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.provider.Deadline = time.Second
				w := &transport.Webhook{Provider: c.provider}
				if name == "hubspot" {
					w.URL = "https://hooks.example/in"
				}
				conn := openHook(t, w)
				late := post(w, signAt(t, w, c.first))
				m := read(t, conn)
				time.Sleep(time.Second)
				wantStatus(t, late, 503)

				inHand := post(w, signAt(t, w, c.again))
				unanswered(t, inHand)
				m.Settle(nil)
				want2xx(t, inHand)
				time.Sleep(time.Minute)
				want2xx(t, post(w, signAt(t, w, c.again)))

				a := post(w, signAt(t, w, c.other))
				read(t, conn).Settle(nil)
				want2xx(t, a)
			})
		})
	}
}

// signAt is sign for a Webhook with a URL.
func signAt(t *testing.T, w *transport.Webhook, body string) *http.Request {
	t.Helper()
	d := provider.Request{Method: http.MethodPost, URL: cmp.Or(w.URL, "/"), Body: []byte(body), Time: time.Now()}
	if err := w.Provider.Sign(&d, ""); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Body))
	maps.Copy(r.Header, d.Header)
	return r
}

func want2xx(t *testing.T, answers <-chan *http.Response) {
	t.Helper()
	if a := <-answers; a.StatusCode/100 != 2 {
		t.Fatalf("answered %s", a.Status)
	}
}

// edPEM returns a private key of Ed25519.
func edPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
