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

// A Scheme is how a sender authenticates its deliveries: a [Signature], [Token], [Basic],
// [Unsigned], or [Custom] for any other. A value and a pointer to it are equivalent.
type Scheme interface {
	bind(secrets []secret) (verifier, error)
	traits() traits
}

// traits are what a scheme reports about itself. Nothing depends on the scheme's type, which
// may be a pointer to a type of this package, or a struct that embeds one.
type traits struct {
	headers []string // that authenticate the sender
	url     bool     // the URL is signed
	doubts  string   // the possible causes of a failed verification, the same for every request
}

// traits returns the traits of p's scheme, or none if there is no scheme.
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

// ProofHeaders returns the headers that authenticate the sender, in canonical form. They may
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

// SignsURL reports whether a signature covers the URL. Request.URL must then equal the URL
// that the sender is configured with.
func (p *Provider) SignsURL() bool { return p.traits().url }

// secret is one of the secrets of a provider, with its index.
type secret struct {
	text string
	at   int
}

// A verifier is a scheme with its secrets. Its methods may be called concurrently.
type verifier interface {
	// precheck verifies as much as it can without the body.
	precheck(r *Request) error
	verify(r *Request) (match, error)
	sign(r *Request, id string) error
}

// match is the result of a verification.
type match struct {
	key   int // index of the secret, or -1
	proof Proof
	id    string // of the delivery, if the scheme signs it; or empty
}

// minSecret is the minimum length of a secret, in bytes; a shorter one is a mistake.
const minSecret = 4

// keys are the secrets of a provider, with the verifier that its scheme builds from them on
// first use: until then, the scheme may change.
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

// SetSecrets replaces the secrets. It may be called while the provider is in use and
// concurrently: each request is verified with either the old or the new secrets. Every secret
// is tried, so a rotation passes the old one and the new one; Sign uses the first. The Scheme
// defines their form. If SetSecrets returns an error, the old secrets remain in use.
func (p *Provider) SetSecrets(secrets ...string) error {
	k := &keys{secrets: slices.Clone(secrets)}
	if _, err := k.verifier(p.Scheme); err != nil {
		return p.named(err)
	}
	p.keys.Store(k)
	return nil
}

// with sets the secrets of a preset. Validate reports errors in them.
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

// about adds the index of a secret to an error.
func (s secret) about(err error) error { return fmt.Errorf("secret %d %w", s.at, err) }

var errNoSecrets = errors.New("no secret: use SetSecrets, or the Unsigned scheme to verify nothing")

// secret returns the secret at index i, or "" if there is none.
func (p *Provider) secret(i int) string {
	if k := p.keys.Load(); k != nil && i >= 0 && i < len(k.secrets) {
		return k.secrets[i]
	}
	return ""
}
