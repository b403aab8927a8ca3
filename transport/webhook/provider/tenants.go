package provider

import (
	"context"
	"errors"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/internal/joined"
)

// Tenants looks up the secrets of each request, for a receiver whose senders have different ones:
// a secret for each customer, account or installation.
//
//	p := provider.GitHub()
//	p.Tenants = provider.Tenants{Name: provider.Source{Wildcard: "tenant"}, Secrets: loadSecrets}
//	hook := &webhook.Receiver{Providers: map[string]*provider.Provider{"/hooks/{tenant}/github": p}}
//
// The tenant of an event is in the Tenant of its transport.Delivery. A delivery is compared with
// others of its tenant only, so that a tenant cannot make deliveries of another look like
// duplicates. Event.ID is not unique among tenants.
//
// # Cache
//
// The secrets of up to 16,384 tenants are cached for TTL. When they do not match, they are looked
// up again, at most once in 10 s for each tenant, so a rotation needs no waiting. That a name is
// unknown is remembered for 10 s, a failure for 1 s. Concurrent requests for one tenant share a
// lookup. At most 32 run at once, and 16 of them for names without cached secrets.
//
// # Answers
//
// An unknown tenant is answered as a wrong signature is, after the same work, unless
// Answers.Unknown is set. A request without a name is malformed. When Secrets fails, the answer is
// Answers.Busy.
type Tenants struct {
	// Name is where a request names its tenant. It is read before anything is verified and must
	// occur once, with up to 256 bytes. If it is in the body, the lookup waits for the body, and
	// JSON with duplicate names is refused. Required.
	Name Source

	// Secrets returns the secrets of a tenant, in the form that Scheme requires, or none for an
	// unknown tenant. ctx ends after 5 s at the latest. The text of an error may be logged.
	// It may be called concurrently. Required.
	Secrets func(ctx context.Context, tenant string) ([]string, error)

	// TTL is how long secrets are used before they are looked up again. Provider.Forget ends it
	// for a tenant. Default: 5 min.
	TTL time.Duration
}

// maxTenantName is the maximum length of a tenant's name in bytes.
const maxTenantName = 256

// resolved is the tenant of a request.
type resolved struct {
	name    string
	set     *secretSet // nil: not resolved
	unknown bool       // set, if any, is that of another tenant
}

func (t *Tenants) isSet() bool { return t.Secrets != nil || t.Name.isSet() }

// inBody reports whether the body has the name of the tenant.
func (t *Tenants) inBody() bool { return len(t.Name.Path) > 0 || len(t.Name.Form) > 0 }

func (p *Provider) validateTenants() error {
	t := &p.Tenants
	var errs []error
	if t.Secrets == nil {
		errs = append(errs, errors.New("Tenants.Secrets is nil"))
	}
	if n := t.Name.places(); n != 1 || t.Name.Hash {
		errs = append(errs, errors.New("Tenants.Name needs one of Header, Wildcard, Query, Path and Form"))
	}
	if t.TTL < 0 {
		errs = append(errs, errors.New("Tenants.TTL is negative: to look secrets up again at once, call Forget"))
	}
	if t.inBody() && p.Gzip == GzipCompressed {
		errs = append(errs, errors.New("Tenants.Name is in the body, which GzipCompressed compresses: use another place"))
	}
	if set := p.secrets.Load(); set != nil && len(set.texts) > 0 {
		errs = append(errs, errors.New("Tenants replaces the secrets: set one of them"))
	}
	if isNil(p.Scheme) {
		return errors.Join(append(errs, errors.New("Scheme is nil"))...)
	}
	scheme := resolve(p.Scheme)
	if c, ok := scheme.(Custom); ok {
		c.Validate = nil // it may require secrets
		scheme = c
	}
	_, err := scheme.newVerifier(nil)
	for _, err := range joined.List(err) {
		if err != errNoSecrets {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Forget makes the next request of a tenant look its secrets up again, for example after one was
// revoked.
func (p *Provider) Forget(tenant string) { p.tenants.forget(tenant) }

// check calls f with the verifier of a request. If that of a tenant fails, its secrets may have
// changed: they are looked up again.
func (p *Provider) check(r *Request, f func(verifier) error) error {
	if !p.Tenants.isSet() {
		v, err := p.verifier()
		if err != nil {
			return err
		}
		return f(v)
	}
	if err := p.resolve(r); err != nil {
		return err
	}
	if r.tenant.set == nil {
		return nil // unknown, and there is no tenant to compare with
	}
	v, err := r.tenant.set.verifier(p.Scheme)
	if err != nil {
		return invalidSecrets(err)
	}
	err = f(v)
	if err == nil || isBusy(err) {
		return err
	}
	switch changed, failure := p.renew(r); {
	case failure != nil:
		return failure
	case r.tenant.unknown && isForged(err):
		return unknownTenant()
	case !changed:
		return err
	}
	if v, err = r.tenant.set.verifier(p.Scheme); err != nil {
		return invalidSecrets(err)
	}
	return f(v)
}

func invalidSecrets(err error) error {
	return &refusal{reason: "the secrets of the tenant are invalid: " + err.Error(), busy: true}
}

func unknownTenant() error {
	return &refusal{reason: "unknown tenant", forged: true, unknown: true}
}

// resolve sets the tenant of r. If it is unknown, the secrets are those of another tenant: a
// request then costs the same time as one with a wrong signature, and is refused in the end.
func (p *Provider) resolve(r *Request) error {
	if r.tenant.name != "" {
		return nil
	}
	name, err := p.Tenants.name(r)
	if err != nil {
		return err
	}
	set, err := p.tenants.find(r, p, name, false)
	if err != nil {
		return err
	}
	r.tenant = resolved{name: name, set: set}
	if set == nil {
		r.tenant.set, r.tenant.unknown = p.tenants.decoy(), true
	}
	return nil
}

// renew reports whether the secrets of r's tenant have changed.
func (p *Provider) renew(r *Request) (changed bool, err error) {
	set, err := p.tenants.find(r, p, r.tenant.name, true)
	if err != nil {
		return false, err
	}
	if set == nil {
		r.tenant.unknown = true
		return false, nil
	}
	changed = r.tenant.unknown || set != r.tenant.set
	r.tenant.set, r.tenant.unknown = set, false
	return changed, nil
}

// name returns the name of the tenant in r.
func (t *Tenants) name(r *Request) (name string, err error) {
	s := &t.Name
	switch {
	case s.Header != "":
		name, err = singleHeader(r.Header, s.Header)
	case s.Wildcard != "":
		name = r.PathValue(s.Wildcard)
	case s.Query != "":
		name, err = singleQuery(r, s.Query)
	case len(s.Form) > 0:
		name, err = t.inForm(r)
	default:
		field := decode.Fields(r.Body)
		for i := 0; i < len(s.Path) && name == ""; i++ {
			name = field(s.Path[i])
		}
	}
	if err == nil && (name == "" || len(name) > maxTenantName) {
		err = malformed("the name of the tenant is missing or too long")
	}
	return name, err
}

// inForm returns the name in a form, in which it must occur once.
func (t *Tenants) inForm(r *Request) (string, error) {
	fields, ok := formFields(r, r.form(), t.Name.Form...)
	name, n := "", 0
	for _, f := range fields {
		if n += f.n; name == "" {
			name = f.value
		}
	}
	if !ok || n > 1 {
		return "", malformed("the form is malformed, or names more than one tenant")
	}
	return name, nil
}

// unambiguous refuses a verified body in which the consumer may find another tenant's name.
func (t *Tenants) unambiguous(body []byte) error {
	if len(t.Name.Path) == 0 {
		return nil
	}
	return unambiguous(body)
}

// secret returns the secret at index i for a request, or "" if there is none.
func (p *Provider) secret(r *Request, i int) string {
	set := p.secrets.Load()
	if p.Tenants.isSet() {
		if p.resolve(r) != nil || r.tenant.unknown {
			return ""
		}
		set = r.tenant.set
	}
	if set == nil || i < 0 || i >= len(set.texts) {
		return ""
	}
	return set.texts[i]
}
