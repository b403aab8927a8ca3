package sender_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// A receiver accepts webhooks until the test ends.
type receiver struct {
	url    string
	client *http.Client
	ids    []string
}

// receiveHooks starts a receiver that settles each event with the result of settle.
func receiveHooks(t *testing.T, p *provider.Provider, settle func(id string) error) *receiver {
	hook := &webhook.Receiver{Provider: p}
	srv := mock.NewServer(hook)
	if p.SignsURL() {
		hook.URL = srv.URL + "/hook"
	}
	r := &receiver{url: srv.URL + "/hook", client: srv.Client()}
	listener, err := hook.Listen(t.Context(), func(ms []transport.Message) (int, error) {
		for _, m := range ms {
			r.ids = append(r.ids, m.ID)
			m.Settle(settle(m.ID))
		}
		return len(ms), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		listener.Close()
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

func TestSendRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 3
		r := receiveHooks(t, provider.StandardWebhooks(whsec), func(string) error {
			if failures--; failures >= 0 {
				return errors.New("not yet")
			}
			return nil
		})
		s := &sender.Client{Provider: provider.StandardWebhooks(whsec), URL: r.url, Client: r.client}
		sent, err := s.Send(t.Context(), sender.Delivery{ID: "msg_1", Body: []byte(`{"type":"a"}`)})
		if err != nil || !sent.Accepted() || sent.Number != 4 {
			t.Errorf("got %+v, %v, want a 2xx at attempt 4", sent, err)
		}
		log := s.Log()
		waits := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute}
		for i, want := range waits { // a Retry-After may be longer than the first of them
			if d := log[i+1].At.Sub(log[i].At); d < want || i > 0 && d > want {
				t.Errorf("attempt %d: got a delay of %v, want %v", i+2, d, want)
			}
			if log[i].Status != 503 {
				t.Errorf("attempt %d: got status %d, want 503", i+1, log[i].Status)
			}
		}
		equal(t, r.ids, []string{"msg_1", "msg_1", "msg_1", "msg_1"})
	})
}

func TestSendGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiveHooks(t, provider.GitHub("secret"), func(string) error { return errors.New("never") })
		s := &sender.Client{Provider: provider.GitHub("secret"), URL: r.url, Client: r.client}
		s.Header = http.Header{"X-GitHub-Event": {"push"}}
		sent, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{}`)})
		if err == nil || sent.Status != 503 || len(s.Log()) != 1 {
			t.Errorf("got %+v, %v after %d attempts, want status 503 and an error after 1", sent, err, len(s.Log()))
		}
		gone := &sender.Client{Provider: provider.GitHub("secret"), URL: "http://elsewhere.test:1/", Client: r.client}
		if sent, err := gone.Send(t.Context(), sender.Delivery{ID: "1"}); err == nil || sent.Err == nil {
			t.Errorf("unreachable: got %+v, %v, want errors", sent, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		s.Retries = slices.Repeat([]time.Duration{time.Hour}, 100)
		time.AfterFunc(90*time.Minute, func() { cancel(cause) })
		if _, err := s.Send(ctx, sender.Delivery{ID: "2", Body: []byte(`{}`)}); !errors.Is(err, cause) {
			t.Errorf("Send with a context that ends: got %v, want %v", err, cause)
		}
	})
}

func TestProviderIsRequired(t *testing.T) {
	var s sender.Client
	_, sendErr := s.Send(t.Context(), sender.Delivery{})
	_, postErr := s.Post(t.Context(), sender.Delivery{})
	for name, err := range map[string]error{
		"Send": sendErr, "Post": postErr,
		"Play": s.Play(t.Context(), mock.Malformed([]byte("garbage"))),
	} {
		if err == nil || !strings.Contains(err.Error(), "Client.Provider") {
			t.Errorf("%s: got error %v, want one that names Client.Provider", name, err)
		}
	}
}

func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		r := receiveHooks(t, provider.StandardWebhooks(whsec), func(id string) error {
			if id == "2" && refuse {
				refuse = false
				return errors.New("not yet")
			}
			return nil
		})
		s := &sender.Client{Provider: provider.StandardWebhooks(whsec), URL: r.url, Client: r.client}
		start := time.Now()
		err := s.Play(t.Context(), wiretest.Object(1), mock.Drop(), mock.Keepalive(), wiretest.Object(2), mock.Malformed([]byte("garbage")),
			mock.Pause(time.Hour), wiretest.Object(3), mock.Complete())
		if err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d < time.Hour || d > time.Hour+time.Minute {
			t.Errorf("Play took %v, want an hour and less than a minute more", d)
		}
		var statuses []int
		for _, sent := range s.Log() {
			statuses = append(statuses, sent.Status)
		}
		if want := []int{204, 503, 204, 400, 204}; !slices.Equal(statuses, want) {
			t.Errorf("got statuses %v, want %v", statuses, want)
		}
		equal(t, r.ids, []string{"1", "2", "2", "3"})
	})
}

// A receiver that refuses everything sees the provider's schedule.
func TestSendFollowsTheSchedule(t *testing.T) {
	for name, c := range map[string]struct {
		provider *provider.Provider
		attempts int
		last     time.Duration // after the first attempt, without the jitter of Retry-After
	}{
		"standardwebhooks": {provider.StandardWebhooks(whsec), 10, 75*time.Hour + 35*time.Minute + 5*time.Second},
		"svix":             {provider.Svix(whsec), 10, 75*time.Hour + 35*time.Minute + 5*time.Second},
		"linear":           {provider.Linear("a secret"), 4, 7*time.Hour + time.Minute},
		"slack":            {provider.Slack("a secret"), 4, 6 * time.Minute},
		"shopify":          {provider.Shopify("a secret"), 9, 4 * time.Hour},
		"github":           {provider.GitHub("a secret"), 1, 0},
		"mailgun":          {provider.Mailgun("a secret"), 7, 7*time.Hour + 30*time.Minute},
		"zoom":             {provider.Zoom("a secret"), 4, 85 * time.Minute},
		"eventgrid":        {provider.AzureEventGrid(nil, "a secret"), 11, 22*time.Hour + 46*time.Minute + 40*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := receiveHooks(t, c.provider, func(string) error { return errors.New("never") })
				s := &sender.Client{Provider: c.provider, URL: r.url, Client: r.client}
				if _, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{"n":1,"event-data":{}}`)}); err == nil {
					t.Error("Send: got no error, want one")
				}
				log := s.Log()
				took := log[len(log)-1].At.Sub(log[0].At)
				if len(log) != c.attempts || took < c.last || took > c.last+time.Minute {
					t.Errorf("got %d attempts in %v, want %d in %v", len(log), took, c.attempts, c.last)
				}
			})
		})
	}
}

// The receiver accepts only the last attempt of the schedule: a repeated signature must still be
// valid then.
func TestLastAttemptIsAccepted(t *testing.T) {
	const topic = "arn:aws:sns:us-east-1:123456789012:orders"
	sns := provider.AmazonSNS(nil, topic)
	if err := sns.SetSecrets(rsaPEM(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		provider *provider.Provider
		body     string
	}{
		{provider.Mailgun("a secret"), `{"event-data":{"event":"opened"}}`},
		{sns, `{"Message":"hello"}`},
		{provider.Discord(ed25519PEM(t)), `{"id":"1"}`},
		{provider.SendGrid(ecdsaPEM(t)), `[{"sg_event_id":"1"}]`},
		{provider.Zoom("a secret"), `{"event":"x"}`},
		{provider.Slack("a secret"), `{"event_id":"1"}`},
		{provider.Stripe("whsec_secret"), `{"id":"1"}`},
		{provider.Linear("a secret"), `{"type":"Issue"}`},
		{provider.AzureEventGrid(nil, "a secret"), `[{"id":"1"}]`},
		{provider.StandardWebhooks(whsec), `{"type":"a"}`},
		{provider.Bitbucket("a secret"), `{}`},
		{provider.HubSpot("a secret"), `[{"eventId":1}]`},
		{provider.Paddle("a secret"), `{"event_id":"1"}`},
		{provider.Zendesk("a secret"), `{"id":"1"}`},
		{provider.Twitch("a secret"), `{}`},
	} {
		t.Run(c.provider.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
				left := len(c.provider.Retry.Waits)
				if left == 0 {
					left = 4
				}
				r := receiveHooks(t, c.provider, func(string) error {
					if left--; left >= 0 {
						return errors.New("not yet")
					}
					return nil
				})
				s := &sender.Client{Provider: c.provider, URL: r.url, Client: r.client}
				sent, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(c.body)})
				if err != nil || !sent.Accepted() || left != -1 {
					t.Errorf("got %+v, %v with %d refusals left, want a 2xx after the last one", sent, err, left)
				}
			})
		})
	}
}

// A receiver with a window of five minutes, which is common, refuses a sender that repeats one
// signature.
func TestVerbatimRepeatsTheSignature(t *testing.T) {
	for verbatim, want := range map[bool]int{true: 401, false: 204} {
		synctest.Test(t, func(t *testing.T) {
			p := provider.Stripe("whsec_secret")
			p.Retry.Verbatim = verbatim
			refuse := true
			r := receiveHooks(t, p, func(string) error {
				if refuse {
					refuse = false
					return errors.New("not yet")
				}
				return nil
			})
			s := &sender.Client{Provider: p, URL: r.url, Client: r.client}
			s.Retries = []time.Duration{10 * time.Minute}
			if sent, _ := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{"id":"1"}`)}); sent.Status != want || sent.Number != 2 {
				t.Errorf("verbatim %t: got %+v, want status %d at attempt 2", verbatim, sent, want)
			}
		})
	}
}

func TestRetriesAreNumbered(t *testing.T) {
	for p, want := range map[*provider.Provider][]string{
		provider.Slack("a secret"):     {"", "1", "2", "3"},
		provider.Bitbucket("a secret"): {"", "2", "3"},
		provider.GitHub("a secret"):    {""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []string
			srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.Header.Get("X-Slack-Retry-Num")+r.Header.Get("X-Attempt-Number"))
				w.WriteHeader(500)
			}))
			defer srv.Close()
			s := &sender.Client{Provider: p, URL: "http://hooks.test/in", Client: srv.Client()}
			if _, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{}`)}); err == nil {
				t.Error("Send: got no error, want one")
			}
			equal(t, got, want)
		})
	}
}

func ed25519PEM(t *testing.T) string {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return privatePEM(t, k)
}

func ecdsaPEM(t *testing.T) string {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return privatePEM(t, k)
}
