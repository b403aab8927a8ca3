package provider

import "time"

// Gitea returns the Provider for Gitea and Forgejo. They wait five seconds for an answer
// unless configured otherwise.
// (https://docs.gitea.com/usage/webhooks)
func Gitea(secrets ...string) *Provider {
	p := &Provider{
		Name: "gitea", Deadline: 4500 * time.Millisecond,
		Scheme:  Signature{Header: "X-Gitea-Signature"},
		ID:      Source{Header: "X-Gitea-Delivery"},
		Payload: Payload{Form: "payload", Type: Source{Header: "X-Gitea-Event"}},
	}
	return p.with(secrets)
}
