package provider

import (
	"cmp"
	"errors"
	"strings"
)

// Alertmanager returns the Provider for Prometheus Alertmanager with http_config. A secret
// "name:password" is basic_auth; any other is a bearer token. The body is not protected.
//
// After a 4xx, Alertmanager drops the notification until it sends the group again. Therefore
// the answer to one with missing or wrong credentials is 503.
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)
func Alertmanager(secrets ...string) *Provider {
	p := &Provider{
		Name:    "alertmanager",
		Answers: Answers{Forged: unavailable(), Malformed: unavailable()},
		Retry:   Retry{Final: func(a Answer) bool { return a.Status < 500 }},
		Scheme:  alertmanager{},
		Payload: Payload{Type: path("status")},
	}
	return p.with(secrets)
}

// alertmanager is the scheme of both kinds of credentials.
type alertmanager struct{}

type alertmanagerVerifier struct {
	basic, bearer verifier // nil without a secret for it
	signer        verifier // that of the first secret
}

func (alertmanager) traits() traits { return traits{headers: []string{"Authorization"}} }

func (alertmanager) newVerifier(secrets []secret) (verifier, error) {
	if len(secrets) == 0 {
		return nil, errNoSecrets
	}
	// A bearer token cannot contain a colon (RFC 6750).
	logins, tokens := partition(secrets, func(text string) bool { return strings.Contains(text, ":") })
	var v alertmanagerVerifier
	var errs [2]error
	if len(logins) > 0 {
		v.basic, errs[0] = Basic{}.newVerifier(logins)
		v.signer = v.basic
	}
	if len(tokens) > 0 {
		v.bearer, errs[1] = Token{Header: "Authorization", Prefix: "Bearer "}.newVerifier(tokens)
		if tokens[0].at == 0 {
			v.signer = v.bearer
		}
	}
	return &v, errors.Join(errs[:]...)
}

func (v *alertmanagerVerifier) precheck(r *Request) error {
	_, err := v.verify(r)
	return err
}

// verify returns the error of Basic if there is one, because it asks for credentials.
func (v *alertmanagerVerifier) verify(r *Request) (m match, err error) {
	if v.basic != nil {
		if m, err = v.basic.verify(r); err == nil || v.bearer == nil {
			return m, err
		}
	}
	m, failure := v.bearer.verify(r)
	if failure == nil {
		return m, nil
	}
	return match{}, cmp.Or(err, failure)
}

func (v *alertmanagerVerifier) sign(r *Request, id string) error { return v.signer.sign(r, id) }
