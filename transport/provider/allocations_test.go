//go:build !race

package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// TestAllocations holds that a delivery of one event costs two allocations at most: the
// Delivery, and nothing else.
func TestAllocations(t *testing.T) {
	for name, p := range map[string]*provider.Provider{
		"github":           provider.GitHub(key),
		"standardwebhooks": provider.StandardWebhooks("whsec_" + key),
		"slack headers":    {Name: "x", Scheme: provider.Slack(key).Scheme},
	} {
		if err := p.SetSecrets(key); err != nil {
			t.Fatal(err)
		}
		if name == "standardwebhooks" {
			p.Payload.Type = provider.Source{}
		}
		r := signed(t, p)
		got := testing.AllocsPerRun(1000, func() {
			if err := p.Precheck(r); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Receive(r); err != nil {
				t.Fatal(err)
			}
		})
		if got > 2 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
