package sender_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestSenderSchedules has a receiver refuse for ever, and looks when each sender gives up.
func TestSenderSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		provider *provider.Provider
		attempts int
		last     time.Duration // after the first attempt, but for the jitter of Retry-After
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
				s := sender.New(c.provider, r.url, r.client)
				if _, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{"n":1,"event-data":{}}`)}); err == nil {
					t.Error("it has not given up")
				}
				log := s.Log()
				took := log[len(log)-1].At.Sub(log[0].At)
				if len(log) != c.attempts || took < c.last || took > c.last+time.Minute {
					t.Errorf("%d attempts in %v, want %d in %v", len(log), took, c.attempts, c.last)
				}
			})
		})
	}
}

// TestSenderRepetitions has each sender repeat a delivery until it gives up, and the receiver
// take the last attempt: a signature that is repeated must still be good then.
func TestSenderRepetitions(t *testing.T) {
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
				s := sender.New(c.provider, r.url, r.client)
				sent, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(c.body)})
				if err != nil || !sent.Accepted() || left != -1 {
					t.Errorf("%+v, %v, %d refusals left", sent, err, left)
				}
			})
		})
	}
}

// TestSenderVerbatim holds what a receiver with a window of five minutes, as most libraries
// have it, makes of a sender that repeats one signature.
func TestSenderVerbatim(t *testing.T) {
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
			s := sender.New(p, r.url, r.client)
			s.Retries = []time.Duration{10 * time.Minute}
			if sent, _ := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{"id":"1"}`)}); sent.Status != want || sent.Number != 2 {
				t.Errorf("verbatim %t: %+v", verbatim, sent)
			}
		})
	}
}

// TestSenderCounts has a sender count its repetitions where it does so.
func TestSenderCounts(t *testing.T) {
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
			s := sender.New(p, "http://hooks.test/in", srv.Client())
			if _, err := s.Send(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{}`)}); err == nil {
				t.Error("it has not given up")
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
