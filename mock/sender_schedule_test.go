package mock_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport/provider"
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
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := receiveHooks(t, c.provider, func(string) error { return errors.New("never") })
				s := mock.NewSender(c.provider, r.url, r.client)
				if _, err := s.Send(t.Context(), mock.Delivery{ID: "1", Body: []byte(`{"n":1}`)}); err == nil {
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
