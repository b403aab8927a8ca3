package webhook_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestDeliveryHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		r := sign(t, w.Provider, "msg_1", `{}`)
		r.URL.RawQuery = "X-Injected=1&Webhook-Id=other"
		for name, value := range map[string]string{
			"Cookie": "X-Injected=2", "Authorization": "Bearer marker", "Proxy-Authorization": "marker",
			"X-Hub-Signature-256": "marker", "X-Shopify-Hmac-Sha256": "marker", "X-Gitlab-Token": "marker",
			"Plaid-Verification": "marker", "Paypal-Transmission-Sig": "marker", "X-Hook-Secret": "marker",
			"X-Api-Key": "marker", "Apikey": "marker", "X-Password": "marker",
			"Connection": "keep-alive", "Transfer-Encoding": "chunked",
			"X-Kept": "kept", "Content-Type": "application/json", "X-Signal": "kept", "I-Twilio-Idempotency-Token": "kept",
		} {
			r.Header.Set(name, value)
		}
		r.Header.Add("X-Kept", "twice")
		before := r.Header.Clone()
		a := post(w, r)
		m := take(t, conn, `{}`)
		m.Settle(nil)
		wantStatus(t, a, 204)

		h := m.Delivery.Header
		want := []string{
			"Content-Type", "I-Twilio-Idempotency-Token", "Webhook-Id", "Webhook-Timestamp", "X-Kept", "X-Signal",
		}
		if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, want) {
			t.Errorf("the header has %q\nwant %q", got, want)
		}
		if got := h.Values("x-kept"); !slices.Equal(got, []string{"kept", "twice"}) {
			t.Errorf("X-Kept: got %q, want both lines", got)
		}
		for name, values := range h {
			if strings.Contains(strings.Join(values, " "), "marker") {
				t.Errorf("%s: got %q, want no secret", name, values)
			}
			values[0] = "changed"
			h[name] = append(values, "added")
		}
		for name := range before {
			if !slices.Equal(r.Header[name], before[name]) {
				t.Errorf("%s of the request: got %q, want %q", name, r.Header[name], before[name])
			}
		}
	})
}

// Fields that the Connection header names are removed. Fields that the receiver adds cannot be
// removed in this way.
func TestHopFieldsAreRemoved(t *testing.T) {
	tests := map[string]struct {
		connection []string
		gone       []string
	}{
		"nothing":         {nil, nil},
		"standard fields": {[]string{"Keep-Alive, close"}, nil},
		"a field":         {[]string{"keep-alive,x-hop"}, []string{"X-Hop"}},
		"in another case": {[]string{"X-HOP"}, []string{"X-Hop"}},
		"on two lines":    {[]string{"close", ",\t x-hop \t,,x-other ,x-missing"}, []string{"X-Hop", "X-Other"}},
		"a part":          {[]string{"X-Ho, Hop"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				conn := openHook(t, w)
				r := sign(t, w.Provider, "msg_1", `{}`)
				want := []string{"Webhook-Id", "Webhook-Timestamp", "X-Hop", "X-Other"}
				r.Header.Set("X-Hop", "marker")
				r.Header.Set("X-Other", "marker")
				r.Header["Connection"] = test.connection
				a := post(w, r)
				m := take(t, conn, `{}`)
				m.Settle(nil)
				wantStatus(t, a, 204)
				want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(test.gone, name) })
				if got := slices.Sorted(maps.Keys(m.Delivery.Header)); !slices.Equal(got, want) {
					t.Errorf("the header has %q\nwant %q", got, want)
				}
			})
		})
	}
}

func TestCredentialsAreRemoved(t *testing.T) {
	custom := provider.Custom{
		Headers: []string{"x-plain-name"}, Proof: transport.ProofBearer,
		Verify: func(r *provider.Request, secrets []string) (int, error) {
			return slices.Index(secrets, r.Header.Get("x-plain-name")), nil
		},
		Sign: func(r *provider.Request, _, secret string) error {
			r.Header.Set("x-plain-name", secret)
			return nil
		},
	}
	signature, token := provider.Signature{Header: "x-plain-name"}, provider.Token{Header: "x-plain-name"}
	for name, c := range map[string]struct {
		scheme provider.Scheme
		proof  transport.Proof
	}{
		"signature":            {signature, transport.ProofBody},
		"pointer to signature": {&signature, transport.ProofBody},
		"token":                {token, transport.ProofBearer},
		"pointer to token":     {&token, transport.ProofBearer},
		"custom":               {custom, transport.ProofBearer},
		"pointer to custom":    {&custom, transport.ProofBearer},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: &provider.Provider{Name: "mine", Scheme: c.scheme}}
				if err := w.Provider.SetSecrets("a secret"); err != nil {
					t.Fatal(err)
				}
				conn := openHook(t, w)
				a := post(w, sign(t, w.Provider, "", `{}`))
				m := take(t, conn, `{}`)
				if m.Delivery.Header.Get("X-Plain-Name") != "" {
					t.Errorf("got a header with the secret: %v", m.Delivery.Header)
				}
				if got := m.Delivery.Proof; got != c.proof {
					t.Errorf("proof %v, want %v", got, c.proof)
				}
				m.Settle(nil)
				wantStatus(t, a, 204)
			})
		})
	}
}

func TestDeliveryKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, both := provider.GitHub("the old secret"), provider.GitHub("the new secret", "the old secret")
		w := &webhook.Receiver{Provider: both}
		conn := openHook(t, w)
		for key, signer := range []*provider.Provider{both, old} {
			a := post(w, sign(t, signer, fmt.Sprint(key), `{}`))
			m := take(t, conn, `{}`)
			if got := m.Delivery.Key; got != key {
				t.Errorf("key %d, want %d", got, key)
			}
			if got := m.Delivery.Proof; got != transport.ProofBody {
				t.Errorf("proof %v, want body", got)
			}
			m.Settle(nil)
			wantStatus(t, a, 204)
		}
	})
}
