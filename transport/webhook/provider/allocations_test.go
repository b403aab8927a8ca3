//go:build !race

package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestReceiveAllocatesOnce holds that a delivery of one event is one allocation: the Delivery,
// with room for its event.
func TestReceiveAllocatesOnce(t *testing.T) {
	for name, p := range map[string]*provider.Provider{
		"github":           provider.GitHub(key),
		"standardwebhooks": provider.StandardWebhooks("whsec_" + key),
		"slack headers":    {Name: "x", Scheme: provider.Slack(key).Scheme},
		"cloudevents":      provider.CloudEvents(nil, key),
	} {
		if err := p.SetSecrets(map[bool]string{true: "whsec_"}[name == "standardwebhooks"] + key); err != nil {
			t.Fatal(err)
		}
		if name == "standardwebhooks" {
			p.Payload.Type = provider.Source{}
		}
		made := signed(t, p)
		var r provider.Request
		got := testing.AllocsPerRun(1000, func() {
			r = provider.Request{Method: made.Method, URL: made.URL, Header: made.Header, Body: made.Body, Time: made.Time}
			if err := p.Precheck(&r); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Receive(&r); err != nil {
				t.Fatal(err)
			}
		})
		if got > 1 {
			t.Errorf("%s: got %v allocations, want 1", name, got)
		}
	}
}
