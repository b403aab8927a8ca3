package provider

import "time"

// CircleCI returns the Provider for CircleCI's outbound webhooks. A secret is the secret token of
// the webhook.
// (https://circleci.com/docs/guides/integration/outbound-webhooks/)
func CircleCI(secrets ...string) *Provider {
	p := &Provider{
		Name: "circleci", Deadline: 9 * time.Second,
		Scheme: Signature{
			Header: "Circleci-Signature", Prefix: "v1=", Separator: ",",
			form: secretForm{others: []string{"CCIPAT_", "CCIPRJ_"}},
		},
		ID:      path("id"),
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	return p.with(secrets)
}
