package provider

import "time"

// Linear returns the Provider for Linear. The time in the body may be at most a minute off.
// (https://linear.app/developers/webhooks)
func Linear(secrets ...string) *Provider {
	p := &Provider{
		Name: "linear", Deadline: 4500 * time.Millisecond,
		Retry:   Retry{Waits: []time.Duration{time.Minute, time.Hour, 6 * time.Hour}},
		Answers: answer200(),
		Scheme: Signature{
			Header: "Linear-Signature", form: secretForm{others: []string{"lin_api_", "lin_oauth_"}},
			Timestamp: Timestamp{Path: "webhookTimestamp", Unit: time.Millisecond, Tolerance: time.Minute},
		},
		ID:      hashBut("webhookTimestamp"), // which differs for each attempt; Linear-Delivery is not signed
		Payload: Payload{ID: Source{Header: "Linear-Delivery"}, Type: path("type")},
	}
	return p.with(secrets)
}
