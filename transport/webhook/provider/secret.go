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
	if p.Tenants.isSet() {
		return p.named(errors.New("Tenants replaces the secrets: set one of them"))
	}
	set := &secretSet{texts: slices.Clone(secrets)}
	if _, err := set.verifier(p.Scheme); err != nil {
		return p.named(err)
	}
	p.secrets.Store(set)
	return nil
}

// WithSecrets sets the secrets and returns p, for presets of other packages. Unlike SetSecrets, it
// reports no error: Validate does. Until p is used, its Scheme may still be changed.
func (p *Provider) WithSecrets(secrets ...string) *Provider { return p.with(secrets) }

// with sets the secrets of a preset. Validate reports errors in them.
func (p *Provider) with(secrets []string) *Provider {
	p.secrets.Store(&secretSet{texts: slices.Clone(secrets)})
	return p
}

// secret is one of the secrets of a provider, with its index.
type secret struct {
	text string
	at   int
}

// partition returns the secrets whose text satisfies ok, and the others.
func partition(secrets []secret, ok func(text string) bool) (yes, no []secret) {
	for _, s := range secrets {
		if ok(s.text) {
			yes = append(yes, s)
		} else {
			no = append(no, s)
		}
	}
	return yes, no
}

// wrap adds the index of a secret to an error.
func (s secret) wrap(err error) error { return fmt.Errorf("secret %d %w", s.at, err) }

func numbered(secrets []string) (list []secret) {
	for i, text := range secrets {
		list = append(list, secret{text, i})
	}
	return list
}

// secretSet holds the secrets of a provider, and the verifier that its scheme builds from them
// on first use: until then, the scheme may change.
type secretSet struct {
	texts  []string
	once   sync.Once
	v      verifier
	err    error
	causes string
}

func (set *secretSet) verifier(s Scheme) (verifier, error) {
	set.once.Do(func() {
		if isNil(s) {
			set.err = errors.New("Scheme is nil")
			return
		}
		if set.err = checkSecrets(set.texts); set.err == nil {
			s = resolve(s)
			set.v, set.err = s.newVerifier(numbered(set.texts))
			set.causes = s.traits().causes
		}
	})
	return set.v, set.err
}

func (p *Provider) verifier() (verifier, error) {
	set := p.secrets.Load()
	if set == nil {
		p.secrets.CompareAndSwap(nil, &secretSet{})
		set = p.secrets.Load()
	}
	return set.verifier(p.Scheme)
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

// secretForm describes the secrets of a sender. It detects a credential of another kind, which can
// never verify a signature. Its errors do not quote a secret.
type secretForm struct {
	prefix string   // of every secret; "": unknown
	others []string // prefixes of other credentials of the sender
	size   int      // of the key in bytes; 0: any
}

func (f *secretForm) check(text string) error {
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

func (f *secretForm) checkKey(raw []byte) error {
	if f.size != 0 && len(raw) != f.size {
		return fmt.Errorf("is a key of %d bytes, want %d", len(raw), f.size)
	}
	return nil
}
