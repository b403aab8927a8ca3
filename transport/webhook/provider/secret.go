package provider

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

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

// secret returns the secret at index i, or "" if there is none.
func (p *Provider) secret(i int) string {
	if k := p.keys.Load(); k != nil && i >= 0 && i < len(k.secrets) {
		return k.secrets[i]
	}
	return ""
}

// secret is one of the secrets of a provider, with its index.
type secret struct {
	text string
	at   int
}

// about adds the index of a secret to an error.
func (s secret) about(err error) error { return fmt.Errorf("secret %d %w", s.at, err) }

func numbered(secrets []string) (list []secret) {
	for i, text := range secrets {
		list = append(list, secret{text, i})
	}
	return list
}

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

func (p *Provider) verifier() (verifier, error) {
	k := p.keys.Load()
	if k == nil {
		p.keys.CompareAndSwap(nil, &keys{})
		k = p.keys.Load()
	}
	return k.verifier(p.Scheme)
}

// minSecret is the minimum length of a secret, in bytes; a shorter one is a mistake.
const minSecret = 4

var errNoSecrets = errors.New("no secret: use SetSecrets, or the Unsigned scheme to verify nothing")

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

// form describes the secrets of a sender. It detects a credential of another kind, which can
// never verify a signature. Its errors do not quote a secret.
type form struct {
	prefix string   // of every secret; "": unknown
	others []string // prefixes of other credentials of the sender
	size   int      // of the key in bytes; 0: any
}

func (f *form) check(text string) error {
	for _, other := range f.others {
		if strings.HasPrefix(text, other) {
			return fmt.Errorf("begins with %q, which marks another credential of this sender: use the signing secret", other)
		}
	}
	if !strings.HasPrefix(text, f.prefix) {
		return fmt.Errorf("does not begin with %q, the prefix of this sender's signing secrets", f.prefix)
	}
	return nil
}

func (f *form) checkKey(raw []byte) error {
	if f.size != 0 && len(raw) != f.size {
		return fmt.Errorf("is a key of %d bytes, want %d", len(raw), f.size)
	}
	return nil
}
