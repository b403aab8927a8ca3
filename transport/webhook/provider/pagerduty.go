package provider

// PagerDuty returns the Provider for PagerDuty webhooks of version 3.
// (https://developer.pagerduty.com/docs/verifying-webhook-signatures)
func PagerDuty(secrets ...string) *Provider {
	p := &Provider{
		Name:    "pagerduty",
		Scheme:  Signature{Header: "X-Pagerduty-Signature", Prefix: "v1=", Separator: ","},
		ID:      path("event.id"),
		Payload: Payload{ID: path("event.id"), Type: path("event.event_type")},
	}
	return p.with(secrets)
}
