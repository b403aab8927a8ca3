package provider

import (
	"strings"
	"time"
)

// GitLab returns the Provider for GitLab, in both of its modes: a secret that begins with
// "whsec_" is a signing token, as for StandardWebhooks; any other is a secret token, which
// does not protect the body. With secrets of both kinds, a signature that does not match is
// refused even if the token matches.
// (https://docs.gitlab.com/user/project/integrations/webhooks/)
func GitLab(secrets ...string) *Provider {
	p := &Provider{
		Name: "gitlab", Deadline: 9 * time.Second,
		Scheme: choice{
			schemes: []Scheme{standard{names: []string{"Webhook"}}, Token{Header: "X-Gitlab-Token"}},
			of:      gitLabSecret,
			strict:  true,
		},
		ID:      Source{Header: "Idempotency-Key"},
		Payload: Payload{Type: Source{Header: "X-Gitlab-Event"}},
	}
	return p.with(secrets)
}

func gitLabSecret(text string) (int, string, error) {
	if strings.HasPrefix(text, "whsec_") {
		return 0, text, nil
	}
	return 1, text, nil
}
