package provider

import "time"

// LemonSqueezy returns the Provider for Lemon Squeezy. A secret is the signing secret of the
// webhook.
// (https://docs.lemonsqueezy.com/help/webhooks/signing-requests)
func LemonSqueezy(secrets ...string) *Provider {
	p := &Provider{
		Name:    "lemonsqueezy",
		Answers: answer200(),
		Retry:   Retry{Waits: []time.Duration{5 * time.Second, 25 * time.Second, 125 * time.Second}},
		Scheme: Signature{
			Header: "X-Signature", form: secretForm{others: []string{"eyJ"}}, // an API key
		},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path("meta.event_name")},
	}
	return p.with(secrets)
}
