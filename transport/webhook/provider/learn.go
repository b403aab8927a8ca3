package provider

import (
	"net/http"
	"slices"
)

// learn answers a handshake that brings a secret. A secret that is in use is accepted again,
// because a handshake may be repeated. For any other, expected decides; nil refuses all.
func (p *Provider) learn(secret string, expected func(secret string) bool, accepted *Answer) *Answer {
	refused := &Answer{Status: http.StatusForbidden}
	if !harmless(secret, "") || checkSecrets([]string{secret}) != nil {
		return refused
	}
	if p.Tenants.isSet() { // expected stores it
		if expected == nil || !expected(secret) {
			return refused
		}
		return accepted
	}
	switch {
	case p.knows(secret):
		return accepted
	case expected == nil || !expected(secret) || !p.addSecret(secret):
		return refused
	}
	return accepted
}

// maxLearned is the maximum number of secrets of a sender that sends them. Each is tried with each
// delivery.
const maxLearned = 1000

// knows reports whether a secret is in use. It compares in constant time.
func (p *Provider) knows(secret string) bool {
	sums, err := newSecretSums(numbered(p.secrets.Load().texts))
	if err != nil {
		return false
	}
	_, err = sums.find(secret)
	return err == nil
}

// addSecret adds a secret after those in use. It reports false if there are too many, or if its form
// is wrong.
func (p *Provider) addSecret(secret string) bool {
	for {
		old := p.secrets.Load()
		if len(old.texts) >= maxLearned {
			return false
		}
		set := &secretSet{texts: append(slices.Clip(old.texts), secret)}
		if _, err := set.verifier(p.Scheme); err != nil {
			return false
		}
		if p.secrets.CompareAndSwap(old, set) {
			return true
		}
	}
}

// unlearned is the verifier of a sender whose secret has not arrived yet. It asks the sender to
// send again.
type unlearned struct{}

func (unlearned) precheck(*Request) error { return notLearned() }

func (unlearned) verify(*Request) (match, error) { return match{}, notLearned() }

func (unlearned) sign(*Request, string) error { return errNoSecrets }

func notLearned() error {
	return &refusal{reason: "no secret yet: it arrives with the handshake of this sender", busy: true}
}
