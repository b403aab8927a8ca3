package provider

import (
	"encoding/base64"
	"errors"
	"strings"
)

// Basic is the scheme of a sender that uses HTTP Basic authentication (RFC 7617). A secret is
// "name:password". The answer to a request without credentials, or with wrong ones, is a 401
// with a WWW-Authenticate header, which some senders, such as curl --anyauth, wait for.
//
// # Security
//
// As with Token, the body is not protected.
type Basic struct{}

func (Basic) traits() traits { return traits{headers: []string{"Authorization"}} }

func (Basic) newVerifier(secrets []secret) (verifier, error) {
	for _, s := range secrets {
		if name, password, ok := strings.Cut(s.text, ":"); !ok || name == "" || password == "" {
			return nil, s.wrap(errors.New("is not name:password"))
		}
	}
	h, err := newSecretSums(secrets)
	return &basicVerifier{h}, err
}

type basicVerifier struct{ secretSums }

func (b *basicVerifier) precheck(r *Request) error {
	_, err := b.verify(r)
	return err
}

func (b *basicVerifier) verify(r *Request) (match, error) {
	line, err := singleHeader(r.Header, "Authorization")
	if len(r.Header["Authorization"]) == 0 {
		return match{}, challenged("header Authorization is missing")
	}
	if err != nil {
		return match{}, err
	}
	encoded, ok := cutFold(line, "Basic ")
	if !ok {
		return match{}, challenged("header Authorization is not Basic")
	}
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return match{}, malformed("Authorization is malformed")
	}
	m, err := b.find(string(text))
	if r, ok := err.(*refusal); ok {
		r.challenge = basicChallenge
	}
	return m, err
}

func (b *basicVerifier) sign(r *Request, _ string) error {
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(b.texts[0])))
	return nil
}

const basicChallenge = `Basic realm="webhook", charset="UTF-8"`

// challenged returns a refusal that asks for a name and a password.
func challenged(reason string) error {
	return &refusal{reason: reason, forged: true, challenge: basicChallenge}
}
