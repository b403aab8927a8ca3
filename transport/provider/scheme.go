package provider

import (
	"errors"
	"fmt"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A Scheme is how a sender proves that a delivery is its own: a [Signature], [Token],
// [Basic], [Unsigned], or [Custom] for any other. Each is given as a value or as a pointer,
// which is the same.
type Scheme interface {
	bind(secrets []secret) (verifier, error)
	traits() traits
}

// traits are what a scheme reports about itself. Nothing depends on its type, which may be a
// pointer to one of this package, or a struct that embeds one.
type traits struct {
	headers []string // that prove who the sender is
	url     bool     // is signed
	doubts  string   // every reason why a proof may not match, the same for every request
}

// traits returns those of p's scheme, none if there is no scheme.
func (p *Provider) traits() traits {
	if isNil(p.Scheme) {
		return traits{}
	}
	return p.Scheme.traits()
}

// isNil reports whether s is nil or a nil pointer.
func isNil(s Scheme) bool {
	v := reflect.ValueOf(s)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// ProofHeaders returns the headers that prove who the sender is, in canonical form. They may
// hold a secret, and must not reach the consumer of an event.
func (p *Provider) ProofHeaders() []string {
	var names []string
	for _, name := range p.traits().headers {
		if name = textproto.CanonicalMIMEHeaderKey(name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// SignsURL reports whether a signature covers the URL, which Request.URL must then be as the
// sender has it.
func (p *Provider) SignsURL() bool { return p.traits().url }

// secret is one of a provider's, at its place among them.
type secret struct {
	text string
	at   int
}

// A verifier is a scheme with its secrets. Its methods may be called concurrently.
type verifier interface {
	// precheck looks at everything but the body.
	precheck(r *Request) error
	verify(r *Request) (match, error)
	sign(r *Request, id string) error
}

// match is what a verification proves.
type match struct {
	key   int // place of the secret, or -1
	proof Proof
	id    string // of the delivery, if it is signed outside of the body
}

// minSecret is the least length of a secret, in bytes: less is a mistake, not a secret.
const minSecret = 4

// keys are the secrets of a provider, and the verifier that its scheme makes of them when
// it is first needed: until then, the scheme may still be changed.
type keys struct {
	secrets []string
	once    sync.Once
	made    verifier
	err     error
	doubts  string
}

func (k *keys) verifier(s Scheme) (verifier, error) {
	k.once.Do(func() {
		if isNil(s) {
			k.err = errors.New("Scheme is nil")
			return
		}
		if k.err = checkSecrets(k.secrets); k.err == nil {
			k.made, k.err = s.bind(numbered(k.secrets))
			k.doubts = s.traits().doubts
		}
	})
	return k.made, k.err
}

// SetSecrets replaces the secrets, also while the provider is in use: a request is
// verified with the old ones or with the new. Every one of them is tried, and the first
// signs, so during a rotation both are given. Their form is the scheme's. After an error
// the old ones are still in force. It may be called concurrently.
func (p *Provider) SetSecrets(secrets ...string) error {
	k := &keys{secrets: slices.Clone(secrets)}
	if _, err := k.verifier(p.Scheme); err != nil {
		return p.named(err)
	}
	p.keys.Store(k)
	return nil
}

// with gives a preset its secrets. What is wrong with them, Validate tells.
func (p *Provider) with(secrets []string) *Provider {
	p.keys.Store(&keys{secrets: slices.Clone(secrets)})
	return p
}

func (p *Provider) verifier() (verifier, error) {
	k := p.keys.Load()
	if k == nil {
		p.keys.CompareAndSwap(nil, &keys{})
		k = p.keys.Load()
	}
	return k.verifier(p.Scheme)
}

func checkSecrets(secrets []string) error {
	var errs []error
	for i, s := range secrets {
		switch {
		case s == "":
			errs = append(errs, fmt.Errorf("secret %d is empty", i))
		case len(s) < minSecret:
			errs = append(errs, fmt.Errorf("secret %d is shorter than %d bytes", i, minSecret))
		case strings.TrimSpace(s) != s && !isPEM(s):
			errs = append(errs, fmt.Errorf("secret %d begins or ends with white space", i))
		}
	}
	return errors.Join(errs...)
}

func isPEM(secret string) bool { return strings.HasPrefix(secret, "-----BEGIN ") }

func numbered(secrets []string) (list []secret) {
	for i, text := range secrets {
		list = append(list, secret{text, i})
	}
	return list
}

// about puts the place of a secret into an error.
func (s secret) about(err error) error { return fmt.Errorf("secret %d %w", s.at, err) }

var errNoSecrets = errors.New("no secret: use SetSecrets, or the Unsigned scheme to verify nothing")

// secret returns one of the secrets that are in force, "" if there are fewer.
func (p *Provider) secret(i int) string {
	if k := p.keys.Load(); k != nil && i >= 0 && i < len(k.secrets) {
		return k.secrets[i]
	}
	return ""
}
