package sender_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// A receiver takes webhooks until the test ends, and settles each event with what settle
// returns.
type receiver struct {
	url    string
	client *http.Client
	ids    []string
	over   chan struct{}
}

func receiveHooks(t *testing.T, p *provider.Provider, settle func(id string) error) *receiver {
	hook := &transport.Webhook{Provider: p}
	srv := mock.NewServer(hook)
	if p.SignsURL() {
		hook.URL = srv.URL + "/hook"
	}
	conn, err := hook.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: srv.URL + "/hook", client: srv.Client(), over: make(chan struct{})}
	go func() {
		defer close(r.over)
		for {
			m, err := readFrom(conn)
			if err != nil {
				return
			}
			r.ids = append(r.ids, m.ID)
			m.Settle(settle(m.ID))
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-r.over
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSenderRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 3
		r := receiveHooks(t, provider.StandardWebhooks(whsec), func(string) error {
			if failures--; failures >= 0 {
				return errors.New("not yet")
			}
			return nil
		})
		s := sender.New(provider.StandardWebhooks(whsec), r.url, r.client)
		sent, err := s.Send(t.Context(), sender.Delivery{ID: "msg_1", Body: []byte(`{"type":"a"}`)})
		if err != nil || !sent.Accepted() || sent.Number != 4 {
			t.Errorf("%+v, %v", sent, err)
		}
		log := s.Log()
		waits := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute}
		for i, want := range waits { // a Retry-After may be longer than the first of them
			if d := log[i+1].At.Sub(log[i].At); d < want || i > 0 && d > want {
				t.Errorf("attempt %d follows after %v, want %v", i+2, d, want)
			}
			if log[i].Status != 503 {
				t.Errorf("attempt %d: status %d", i+1, log[i].Status)
			}
		}
		equal(t, r.ids, []string{"msg_1", "msg_1", "msg_1", "msg_1"})
	})
}

func TestSenderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiveHooks(t, provider.GitHub("secret"), func(string) error { return errors.New("never") })
		s := sender.New(provider.GitHub("secret"), r.url, r.client)
		s.Header = http.Header{"X-GitHub-Event": {"push"}}
		sent, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{}`)})
		if err == nil || sent.Status != 503 || len(s.Log()) != 1 {
			t.Errorf("%+v, %v", sent, err)
		}
		gone := sender.New(provider.GitHub("secret"), "http://elsewhere.test:1/", r.client)
		if sent, err := gone.Send(t.Context(), sender.Delivery{ID: "1"}); err == nil || sent.Err == nil {
			t.Errorf("%+v, %v", sent, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		s.Retries = slices.Repeat([]time.Duration{time.Hour}, 100)
		time.AfterFunc(90*time.Minute, func() { cancel(cause) })
		if _, err := s.Send(ctx, sender.Delivery{ID: "2", Body: []byte(`{}`)}); !errors.Is(err, cause) {
			t.Errorf("Send: %v", err)
		}
	})
}

// Whatever a provider signs, a probe with a wrong proof is refused, and one with the right
// proof is not.
func TestSenderForges(t *testing.T) {
	for name, p := range map[string]*provider.Provider{
		"standard": provider.StandardWebhooks(whsec), "github": provider.GitHub("secret"),
		"slack": provider.Slack("secret"), "stripe": provider.Stripe("whsec_secret"),
		"gitlab token": provider.GitLab("secret"), "alertmanager": provider.Alertmanager("name:password"),
		"event grid": provider.AzureEventGrid(nil, "secret"), "shopify": provider.Shopify("secret"),
		"mailgun": provider.Mailgun("secret"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
				r := receiveHooks(t, p, func(string) error { return nil })
				s := sender.New(p, r.url, r.client)
				s.Retries = []time.Duration{}
				body := []byte(`{"id":"1","type":"x","event-data":{}}`)
				for range 5 {
					if sent, err := s.Post(t.Context(), sender.Delivery{ID: "1", Body: body, Forged: true}); err != nil || sent.Status != cmp.Or(p.Answers.Forged.Status, 401) {
						t.Errorf("forged: %+v, %v", sent, err)
					}
				}
				if len(r.ids) != 0 {
					t.Errorf("a forgery was delivered: %q", r.ids)
				}
				if sent, err := s.Post(t.Context(), sender.Delivery{ID: "1", Body: body}); err != nil || !sent.Accepted() {
					t.Errorf("genuine: %+v %s, %v", sent, sent.Body, err)
				}
			})
		})
	}
}

func TestSenderProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiveHooks(t, provider.StandardWebhooks(whsec), func(string) error { return nil })
		s := sender.New(provider.StandardWebhooks(whsec), r.url, r.client)
		for status, d := range map[int]sender.Delivery{
			204: {ID: "fresh", Body: []byte(`{}`), Age: 4 * time.Minute},
			401: {ID: "stale", Body: []byte(`{}`), Age: 6 * time.Minute},
			415: {ID: "gzip", Body: []byte(`{}`), Gzip: true},
		} {
			if sent, err := s.Post(t.Context(), d); err != nil || sent.Status != status {
				t.Errorf("%s: status %d %v, %v, want %d", d.ID, sent.Status, sent.Err, err, status)
			}
		}
		start := time.Now()
		sent, err := s.Post(t.Context(), sender.Delivery{ID: "slow", Body: []byte(strings.Repeat("x", 100)), Pace: time.Second / 2})
		if err != nil || !sent.Accepted() || time.Since(start) != 5*time.Second {
			t.Errorf("%+v, %v after %v", sent, err, time.Since(start))
		}
		equal(t, slices.Sorted(slices.Values(r.ids)), []string{"fresh", "slow"})
	})
}

func TestSenderSendAll(t *testing.T) {
	orders := make(map[string]bool)
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			r := receiveHooks(t, provider.StandardWebhooks(whsec), func(string) error { return nil })
			s := sender.New(provider.StandardWebhooks(whsec), r.url, r.client)
			var all []sender.Delivery
			for i := range 20 {
				d := sender.Delivery{ID: fmt.Sprint("msg_", i), Body: []byte(`{}`)}
				all = append(all, d, d) // each one twice
			}
			if err := s.SendAll(t.Context(), all, 4, seed); err != nil {
				t.Error(err)
			}
			orders[fmt.Sprint(r.ids)] = true
			slices.Sort(r.ids)
			if len(slices.Compact(slices.Clone(r.ids))) != 20 || len(r.ids) != 20 {
				t.Errorf("%d were delivered: %q", len(r.ids), r.ids)
			}
		})
	}
	if len(orders) != 3 {
		t.Errorf("three seeds make %d orders", len(orders))
	}
}

func TestSenderAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider.Meta("verify", "secret")
		r := receiveHooks(t, p, func(string) error { return nil })
		s := sender.New(p, r.url, r.client)
		sent, err := s.Ask(t.Context(), http.MethodGet, url.Values{
			"hub.mode": {"subscribe"}, "hub.verify_token": {"verify"}, "hub.challenge": {"1158201444"},
		}, nil)
		if err != nil || sent.Status != 200 || string(sent.Body) != "1158201444" {
			t.Errorf("%+v %s, %v", sent, sent.Body, err)
		}
	})
}

// A script that other wires play as well is a row of deliveries.
func TestSenderPlays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		r := receiveHooks(t, provider.StandardWebhooks(whsec), func(id string) error {
			if id == "2" && refuse {
				refuse = false
				return errors.New("not yet")
			}
			return nil
		})
		s := sender.New(provider.StandardWebhooks(whsec), r.url, r.client)
		start := time.Now()
		err := s.Play(t.Context(), wiretest.Object(1), mock.Drop(), mock.Keepalive(), wiretest.Object(2), mock.Malformed([]byte("garbage")),
			mock.Pause(time.Hour), wiretest.Object(3), mock.Complete())
		if err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d < time.Hour || d > time.Hour+time.Minute {
			t.Errorf("took %v", d)
		}
		var statuses []int
		for _, sent := range s.Log() {
			statuses = append(statuses, sent.Status)
		}
		if want := []int{204, 503, 204, 401, 204}; !slices.Equal(statuses, want) {
			t.Errorf("answered with %v, want %v", statuses, want)
		}
		equal(t, r.ids, []string{"1", "2", "2", "3"})
	})
}
