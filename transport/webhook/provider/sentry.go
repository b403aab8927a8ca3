package provider

import "time"

// Sentry returns the Provider for the webhooks of Sentry's integration platform. A secret is the
// client secret of the integration. The type of an event is the resource, such as "issue"; its
// action is in the payload.
//
// Sentry waits for one second only. It disables a receiver after a thousand timeouts in a day:
// use webhook.AckOnEnqueue, or store an event and acknowledge it.
// (https://docs.sentry.io/integrations/integration-platform/webhooks/)
func Sentry(secrets ...string) *Provider {
	p := &Provider{
		Name: "sentry", Deadline: 900 * time.Millisecond,
		Answers: answer200(),
		Scheme: Signature{
			Header: "Sentry-Hook-Signature", form: secretForm{others: []string{"sntrys_", "sntryu_", "sntryi_"}},
		},
		ID:      Source{Header: "Request-Id"},
		Payload: Payload{Type: Source{Header: "Sentry-Hook-Resource"}},
	}
	return p.with(secrets)
}
