package provider

import "time"

// Stripe returns the Provider for Stripe. A secret is the whole text, including "whsec_".
// (https://docs.stripe.com/webhooks#verify-manually)
func Stripe(secrets ...string) *Provider {
	p := &Provider{
		Name: "stripe", Deadline: 15 * time.Second,
		Scheme: Signature{
			Header: "Stripe-Signature", Prefix: "v1=", Separator: ",", form: secretForm{prefix: "whsec_"},
			Timestamp: Timestamp{Prefix: "t="}, Signed: "{ts}.{body}",
		},
		ID:      path("id"),
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	return p.with(secrets)
}
