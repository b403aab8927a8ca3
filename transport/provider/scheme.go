package provider

import (
	"errors"
	"fmt"
	"strings"
	"sync"
)

// A Scheme is how a sender proves that a delivery is its own: Signature, Token, Basic,
// Unsigned, or Custom for any other.
type Scheme interface {
	bind(secrets []string) (verifier, error)
}

// A verifier is a scheme with its secrets. Its methods may be called concurrently.
type verifier interface {
	// precheck looks at everything but the body.
	precheck(r *Request) error
	// verify returns which secret matched, or -1.
	verify(r *Request) (key int, err error)
	sign(r *Request, id string) error
	proof() Proof
	// covers tells whether what is at s in the header is signed.
	covers(s Source) bool
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
}

func (k *keys) verifier(s Scheme) (verifier, error) {
	k.once.Do(func() {
		if s == nil {
			k.err = errors.New("Scheme is nil")
			return
		}
		if k.err = checkSecrets(k.secrets); k.err == nil {
			k.made, k.err = s.bind(k.secrets)
		}
	})
	return k.made, k.err
}

// SetSecrets replaces the secrets, also while the provider is in use: a request is
// verified with the old ones or with the new. Every one of them is tried, and the first
// signs, so during a rotation both are given. Their form is the scheme's. After an error
// the old ones are still in force. It may be called concurrently.
func (p *Provider) SetSecrets(secrets ...string) error {
	k := &keys{secrets: append([]string(nil), secrets...)}
	if _, err := k.verifier(p.Scheme); err != nil {
		return p.named(err)
	}
	p.keys.Store(k)
	return nil
}

// with gives a preset its secrets. What is wrong with them, Validate tells.
func (p *Provider) with(secrets []string) *Provider {
	p.keys.Store(&keys{secrets: append([]string(nil), secrets...)})
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
		case strings.TrimSpace(s) != s:
			errs = append(errs, fmt.Errorf("secret %d begins or ends with white space", i))
		}
	}
	return errors.Join(errs...)
}

var errNoSecrets = errors.New("no secret: use SetSecrets, or Unsigned if nothing is to be verified")
