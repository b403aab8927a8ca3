package sender_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// replicas are receivers of one provider that share a Balancer.
type replicas struct {
	mu       sync.Mutex
	received []string // "replica id"
	client   *http.Client
	url      string
}

// balance starts n receivers. settle is called for each event.
func balance(t *testing.T, p *provider.Provider, n int, pick func(int, *http.Request) int, settle func(replica int, m transport.Message)) *replicas {
	r := &replicas{}
	b := &sender.Balancer{Pick: pick}
	for i := range n {
		hook := &webhook.Receiver{Provider: p}
		b.Replicas = append(b.Replicas, hook)
		listener, err := hook.Listen(t.Context(), func(ms []transport.Message) (int, error) {
			for _, m := range ms {
				r.mu.Lock()
				r.received = append(r.received, fmt.Sprint(i, " ", m.ID))
				r.mu.Unlock()
				settle(i, m)
			}
			return len(ms), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
	}
	srv := mock.NewServer(b)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	r.client, r.url = srv.Client(), srv.URL
	return r
}

// Deliveries alternate, and a retry goes to the other replica.
func TestBalancerAlternates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := false
		r := balance(t, provider.Stripe("whsec_secret"), 2, nil, func(replica int, m transport.Message) {
			if m.ID == "evt_3" && replica == 0 {
				refused = true
				m.Settle(errors.New("not here"))
				return
			}
			m.Settle(nil)
		})
		c := &sender.Client{Provider: provider.Stripe("whsec_secret"), URL: r.url, Client: r.client}
		for i := 1; i <= 4; i++ {
			if _, err := c.Send(t.Context(), sender.Delivery{Body: fmt.Appendf(nil, `{"id":"evt_%d"}`, i)}); err != nil {
				t.Fatal(err)
			}
		}
		if !refused {
			t.Error("got no refusal, want one")
		}
		equal(t, r.received, []string{"0 evt_1", "1 evt_2", "0 evt_3", "1 evt_3", "0 evt_4"})
	})
}

// A delivery that one replica acknowledges after the deadline becomes an event of the other too. In
// one replica, the retry waits for the first.
func TestReplicasDoNotShareDuplicates(t *testing.T) {
	for name, c := range map[string]struct {
		pick func(int, *http.Request) int
		want []string
	}{
		"two replicas": {nil, []string{"0 evt_1", "1 evt_1"}},
		"one replica":  {func(int, *http.Request) int { return 0 }, []string{"0 evt_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := balance(t, provider.Stripe("whsec_secret"), 2, c.pick, func(replica int, m transport.Message) {
					if replica == 1 {
						m.Settle(nil)
						return
					}
					time.AfterFunc(20*time.Second, func() { m.Settle(nil) })
				})
				client := &sender.Client{Provider: provider.Stripe("whsec_secret"), URL: r.url, Client: r.client}
				sent, err := client.Send(t.Context(), sender.Delivery{Body: []byte(`{"id":"evt_1"}`)})
				if err != nil || sent.Number != 2 || client.Log()[0].Status != 503 {
					t.Errorf("got %+v, %v, first status %d, want success at attempt 2 after a 503", sent, err, client.Log()[0].Status)
				}
				time.Sleep(time.Minute)
				equal(t, r.received, c.want)
			})
		})
	}
}

// A replica that is down is answered for with 502, and the sender tries again.
func TestBalancerWithoutAReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, pick := range map[string]func(int, *http.Request) int{
			"below": func(n int, _ *http.Request) int { return n - 1 },
			"above": func(n int, _ *http.Request) int { return 1 - n },
		} {
			r := balance(t, provider.Stripe("whsec_secret"), 1, pick, func(_ int, m transport.Message) { m.Settle(nil) })
			c := &sender.Client{Provider: provider.Stripe("whsec_secret"), URL: r.url, Client: r.client}
			sent, err := c.Send(t.Context(), sender.Delivery{Body: []byte(`{"id":"evt_1"}`)})
			if err != nil || sent.Number != 2 || c.Log()[0].Status != 502 {
				t.Errorf("%s: got %+v, %v, want success at attempt 2 after a 502", name, sent, err)
			}
		}
		srv := mock.NewServer(&sender.Balancer{})
		defer srv.Close()
		c := &sender.Client{Provider: provider.Stripe("whsec_secret"), URL: srv.URL, Client: srv.Client()}
		if sent, err := c.Post(t.Context(), sender.Delivery{Body: []byte(`{}`)}); err != nil || sent.Status != 502 {
			t.Errorf("no replicas: got %+v, %v, want 502", sent, err)
		}
	})
}

// An attempt is what a receiver got: the signature and the body, byte by byte.
type attempt struct{ signature, body string }

// A provider that repeats its first signature repeats every byte. Any other signs each attempt anew.
// One that counts its attempts does so in the body, which the signature covers.
func TestRetriesRepeatOrRenew(t *testing.T) {
	for name, c := range map[string]struct {
		p      *provider.Provider
		header string // with the signature; "": it is in the body
		body   string
		same   bool
		bodies []string // of the attempts; nil: any
	}{
		"mailgun":  {provider.Mailgun("secret"), "", `{"event-data":{"event":"opened"}}`, true, nil},
		"zoom":     {provider.Zoom("secret"), "X-Zm-Signature", `{"event":"a"}`, true, []string{`{"event":"a"}`, `{"event":"a"}`, `{"event":"a"}`}},
		"stripe":   {provider.Stripe("whsec_secret"), "Stripe-Signature", `{"id":"1"}`, false, []string{`{"id":"1"}`, `{"id":"1"}`, `{"id":"1"}`}},
		"calendly": {provider.Calendly("secret"), "Calendly-Webhook-Signature", `{"event":"a"}`, false, nil},
		"box":      {provider.Box("secret"), "Box-Signature-Primary", `{"id":"a"}`, false, nil},
		"notion": {provider.Notion(nil, "secret"), "X-Notion-Signature", `{"id":"1","attempt_number":1}`, false, []string{
			`{"id":"1","attempt_number":1}`, `{"id":"1","attempt_number":2}`, `{"id":"1","attempt_number":3}`,
		}},
		"docusign": {provider.DocuSign("secret"), "X-Docusign-Signature-1", `{"event":"a", "retryCount": 0}`, false, []string{
			`{"event":"a", "retryCount": 0}`, `{"event":"a", "retryCount": 1}`, `{"event":"a", "retryCount": 2}`,
		}},
		"hubspot": {provider.HubSpot("secret"), "X-Hubspot-Signature-V3", `[{"eventId":1,"attemptNumber":0}]`, false, []string{
			`[{"eventId":1,"attemptNumber":0}]`, `[{"eventId":1,"attemptNumber":1}]`, `[{"eventId":1,"attemptNumber":2}]`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
				var got []attempt
				hook := &webhook.Receiver{Provider: c.p}
				failures, ids := 2, []string(nil)
				srv := mock.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					got = append(got, attempt{r.Header.Get(c.header), string(body)})
					r.Body = io.NopCloser(bytes.NewReader(body))
					hook.ServeHTTP(rw, r)
				}))
				defer srv.Close()
				if c.p.SignsURL() {
					hook.URL = srv.URL + "/"
				}
				listener, err := hook.Listen(t.Context(), func(ms []transport.Message) (int, error) {
					for _, m := range ms {
						ids = append(ids, m.ID)
						if failures--; failures >= 0 {
							m.Settle(errors.New("not yet"))
						} else {
							m.Settle(nil)
						}
					}
					return len(ms), nil
				})
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				s := &sender.Client{Provider: c.p, URL: srv.URL + "/", Client: srv.Client(), Retries: []time.Duration{time.Minute, time.Hour}}
				if _, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(c.body)}); err != nil {
					t.Fatal(err)
				}
				if len(got) != 3 {
					t.Fatalf("got %d attempts, want 3", len(got))
				}
				if same := got[0] == got[1] && got[1] == got[2]; same != c.same {
					t.Errorf("got attempts %+v, want the same bytes %t", got, c.same)
				}
				for i, want := range c.bodies {
					if got[i].body != want {
						t.Errorf("attempt %d: got %s, want %s", i+1, got[i].body, want)
					}
				}
				if slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] }) {
					t.Errorf("got ids %q, want one", ids)
				}
			})
		})
	}
}
