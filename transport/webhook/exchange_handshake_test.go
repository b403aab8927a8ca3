package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A full buffer does not refuse a handshake, because its sender could then drop the subscription.
func TestHandshakeWhileFull(t *testing.T) {
	for name, c := range map[string]struct {
		provider       *provider.Provider
		method, target string
	}{
		"X":              {provider.X("a secret"), "GET", "/?crc_token=abc"},
		"Dropbox":        {provider.Dropbox("a secret"), "GET", "/?challenge=abc"},
		"MicrosoftGraph": {provider.MicrosoftGraph("a secret"), "POST", "/?validationToken=abc"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: c.provider}
				conn := openBuffer(t, w, 1)
				body := `{"value":[{}]}`
				first := post(w, sign(t, w.Provider, "", body))
				synctest.Wait()
				wantStatus(t, post(w, sign(t, w.Provider, "", body)), 503)
				wantStatus(t, post(w, httptest.NewRequest(c.method, c.target, nil)), http.StatusOK)
				read(t, conn).Settle(nil)
				if a := <-first; a.StatusCode/100 != 2 {
					t.Errorf("delivery: got %s, want a 2xx", a.Status)
				}
				conn.Close()
				wantStatus(t, post(w, httptest.NewRequest(c.method, c.target, nil)), 503)
			})
		})
	}
}

// TestHandshakeByUnsignedPost answers the first POST of Notion, which has the secret in its body
// and no signature, and verifies all others (https://developers.notion.com/reference/webhooks).
func TestHandshakeByUnsignedPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider.Provider{Name: "notion", Scheme: provider.Signature{Header: "X-Notion-Signature", Prefix: "sha256="}}
		learned := ""
		p.Handshake = func(r *provider.Request) (*provider.Answer, bool) {
			if r.Method != http.MethodPost || r.Header.Get("X-Notion-Signature") != "" {
				return nil, false
			}
			if r.Body == nil {
				return nil, true
			}
			learned = decode.Field(r.Body, "verification_token")
			return &provider.Answer{Status: 200}, learned != ""
		}
		if err := p.SetSecrets("not known yet"); err != nil {
			t.Fatal(err)
		}
		w := &webhook.Receiver{Provider: p}
		conn := openHook(t, w)
		unsigned := func(body string) *http.Request {
			return httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		}
		wantStatus(t, post(w, unsigned(`{"type":"page.created"}`)), 400)
		wantStatus(t, post(w, unsigned(`{"verification_token":"secret_tMrlL1qK5vuQAh1b"}`)), 200)
		if learned != "secret_tMrlL1qK5vuQAh1b" {
			t.Fatalf("got the secret %q, want that of the handshake", learned)
		}
		if err := p.SetSecrets(learned); err != nil {
			t.Fatal(err)
		}
		a := post(w, sign(t, p, "", `{"type":"page.created"}`))
		take(t, conn, `{"type":"page.created"}`).Settle(nil)
		wantStatus(t, a, 204)
	})
}
