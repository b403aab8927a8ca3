package provider

import "time"

// Paddle returns the Provider for notifications of Paddle Billing.
// (https://developer.paddle.com/webhooks/signature-verification)
func Paddle(secrets ...string) *Provider {
	p := &Provider{
		Name: "paddle", Deadline: 4500 * time.Millisecond,
		Answers: answer200(),
		Scheme: Signature{
			Header: "Paddle-Signature", Prefix: "h1=", Separator: ";", form: secretForm{others: []string{"pdl_live_apikey_", "pdl_sdbx_apikey_"}},
			Timestamp: Timestamp{Prefix: "ts="}, Signed: "{ts}:{body}",
		},
		ID:      path("event_id"),
		Payload: Payload{ID: path("event_id"), Type: path("event_type")},
	}
	return p.with(secrets)
}
