package provider

import (
	"errors"
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
		Scheme:  gitLab{},
		ID:      Source{Header: "Idempotency-Key"},
		Payload: Payload{Type: Source{Header: "X-Gitlab-Event"}},
	}
	return p.with(secrets)
}

// gitLab is the scheme of both modes.
type gitLab struct{}

func gitLabSignature() standardScheme { return newStandardScheme("Webhook") }

func gitLabToken() Token { return Token{Header: "X-Gitlab-Token"} }

func (gitLab) traits() traits {
	return traits{headers: []string{gitLabSignature().Header, gitLabToken().Header}}
}

func (gitLab) newVerifier(secrets []secret) (verifier, error) {
	if len(secrets) == 0 {
		return nil, errNoSecrets
	}
	signing, tokens := partition(secrets, func(text string) bool { return strings.HasPrefix(text, "whsec_") })
	var v signatureOrToken
	var errs [2]error
	if len(signing) > 0 {
		v.signature, errs[0] = gitLabSignature().newVerifier(signing)
		v.signer = v.signature
	}
	if len(tokens) > 0 {
		v.token, errs[1] = gitLabToken().newVerifier(tokens)
		if tokens[0].at == 0 {
			v.signer = v.token
		}
	}
	return &v, errors.Join(errs[:]...)
}
