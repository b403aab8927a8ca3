package provider

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Kick returns the Provider for Kick. client fetches Kick's public key, as [Keys] describes, and
// again when a signature does not match it; if client is nil, it is that of a [Fetcher]. If
// secrets are set with SetSecrets, no key is fetched: a secret is Kick's public key in PEM, or a
// private key in PEM, with which Sign works.
//
// # Security
//
// Kick signs for all of its customers with one key: another one can send you what Kick sent to
// them. The time may be an hour off, because Kick repeats a delivery and does not document a new
// time. The type of an event, in the header, is not signed.
// (https://docs.kick.com/events/webhook-security)
func Kick(client *http.Client) *Provider {
	return &Provider{
		Name: "kick", Deadline: 4500 * time.Millisecond,
		Answers: answer200(),
		Scheme:  newKickScheme(client),
		Payload: Payload{Type: Source{Header: "Kick-Event-Type"}},
	}
}

const kickKeyURL = "https://api.kick.com/public/v1/public-key"

// kickScheme is a Signature whose key is fetched, if there are no secrets.
type kickScheme struct {
	Signature
	keys *Keys[*signatureVerifier]
}

func newKickScheme(client *http.Client) kickScheme {
	s := Signature{
		Algorithm: RSASHA256, Header: "Kick-Event-Signature", Encoding: EncodingBase64,
		ID:        "Kick-Event-Message-Id",
		Timestamp: Timestamp{Header: "Kick-Event-Message-Timestamp", Layout: time.RFC3339, Tolerance: time.Hour},
		Signed:    "{id}.{ts}.{body}",
	}
	f := &Fetcher{Client: client}
	return kickScheme{s, &Keys[*signatureVerifier]{Stale: day, Fetch: func(ctx context.Context, url string) (*signatureVerifier, time.Time, error) {
		text, err := f.get(ctx, url)
		if err != nil {
			return nil, time.Time{}, err
		}
		pem := decode.Field(text, "data.public_key")
		if !isPEM(pem) {
			return nil, time.Time{}, errors.New("the response has no public key in PEM")
		}
		v, err := s.verifier([]secret{{text: pem}})
		if err != nil {
			return nil, time.Time{}, errors.New("the response has no RSA key of at least 2048 bits")
		}
		return v, time.Time{}, nil
	}}}
}

func (s kickScheme) newVerifier(secrets []secret) (verifier, error) {
	if len(secrets) > 0 {
		return s.Signature.verifier(secrets)
	}
	// The header is checked before a key is fetched, by a verifier with a key that is never used.
	v := &kickVerifier{keys: s.keys}
	v.header = &signatureVerifier{Signature: s.Signature}
	if err := v.header.complete(); err != nil {
		return nil, err
	}
	v.header.sets = []*keySet{{limit: maxPublic}}
	v.header.scratch.New = func() any { return &scratch{} }
	return v, nil
}

// kickVerifier verifies with the key that is fetched.
type kickVerifier struct {
	keys   *Keys[*signatureVerifier]
	header *signatureVerifier // without a key
}

func (v *kickVerifier) precheck(r *Request) error { return v.header.precheck(r) }

func (v *kickVerifier) verify(r *Request) (match, error) {
	if err := v.precheck(r); err != nil {
		return match{}, err
	}
	by, err := v.keys.Key(r, kickKeyURL)
	if err != nil {
		return match{}, err
	}
	m, err := by.verify(r)
	if isForged(err) { // or the key was replaced
		newer, fresh, failure := v.keys.Renewed(r, kickKeyURL)
		switch {
		case failure != nil:
			return match{}, failure
		case fresh:
			m, err = newer.verify(r)
		}
	}
	m.key = -1
	return m, err
}

func (v *kickVerifier) sign(*Request, string) error { return errNotSigner }
