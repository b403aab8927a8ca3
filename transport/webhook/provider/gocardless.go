package provider

import "time"

// GoCardless returns the Provider for GoCardless. A secret is that of the webhook endpoint. The
// type of an event is its resource type and action, such as "payments:confirmed". GoCardless
// repeats a delivery up to eight times. It requires 498 as the answer to one whose signature does
// not match.
// (https://developer.gocardless.com/api-reference/#appendix-webhooks)
func GoCardless(secrets ...string) *Provider {
	p := &Provider{
		Name: "gocardless", Deadline: 9 * time.Second,
		Answers: Answers{Forged: Answer{Status: 498}}, // "Token Invalid"
		Scheme:  Signature{Header: "Webhook-Signature"},
		ID:      Source{Path: []string{"meta.webhook_id"}, orHash: true},
		Payload: Payload{Items: "events", ID: path("id"), Type: all("resource_type", "action"), Unique: true},
	}
	return p.with(secrets)
}
