package provider

import "time"

// Razorpay returns the Provider for Razorpay. A secret is that of the webhook, not of the API key.
// Razorpay repeats a delivery for a day and then disables the webhook.
// (https://razorpay.com/docs/webhooks/validate-test/)
func Razorpay(secrets ...string) *Provider {
	p := &Provider{
		Name: "razorpay", Deadline: 4500 * time.Millisecond,
		Scheme: Signature{
			Header: "X-Razorpay-Signature", form: secretForm{others: []string{"rzp_live_", "rzp_test_"}},
		},
		ID:      Source{Header: "X-Razorpay-Event-Id"},
		Payload: Payload{ID: Source{Header: "X-Razorpay-Event-Id"}, Type: path("event")},
	}
	return p.with(secrets)
}
