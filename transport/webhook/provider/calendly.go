package provider

import "time"

// Calendly returns the Provider for Calendly. A secret is the signing key of the webhook
// subscription. Each attempt has a new time and signature. Calendly repeats a delivery for a day
// and then disables the subscription.
// (https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures)
func Calendly(secrets ...string) *Provider {
	p := &Provider{
		Name: "calendly",
		Scheme: Signature{
			Header: "Calendly-Webhook-Signature", Prefix: "v1=", Separator: ",",
			form:      secretForm{others: []string{"eyJ"}}, // a personal access token
			Timestamp: Timestamp{Prefix: "t=", Tolerance: 3 * time.Minute}, Signed: "{ts}.{body}",
		},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path("event")},
	}
	return p.with(secrets)
}
