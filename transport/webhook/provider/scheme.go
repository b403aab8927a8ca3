package provider

import (
	"net/textproto"
	"reflect"
	"slices"

	"github.com/steadfeed/steadfeed/transport"
)

// A Scheme is how a sender authenticates its deliveries: a [Signature], [Token], [Basic],
// [Unsigned], or [Custom] for any other. A value and a pointer to it are equivalent.
//
// A type of another package is a Scheme if it embeds one, which may be nil, and has a method
// Custom() Custom. That Custom is used instead.
type Scheme interface {
	newVerifier(secrets []secret) (verifier, error)
	traits() traits
}

// traits are what a scheme reports about itself. Nothing depends on the scheme's type, which
// may be a pointer to a type of this package, or a struct that embeds one.
type traits struct {
	headers []string // that authenticate the sender
	url     bool     // the URL is signed
	query   string   // the parameter of the URL with a secret; empty: none
	causes  string   // the possible causes of a failed verification, the same for every request
}

// traits returns the traits of p's scheme, or none if there is no scheme.
func (p *Provider) traits() traits {
	if isNil(p.Scheme) {
		return traits{}
	}
	return resolve(p.Scheme).traits()
}

// isNil reports whether s is nil or a nil pointer.
func isNil(s Scheme) bool {
	v := reflect.ValueOf(s)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// CredentialHeaders returns the headers that authenticate the sender, in canonical form. They may
// hold a secret, and must not reach the consumer of an event.
func (p *Provider) CredentialHeaders() []string {
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
	proof transport.Proof
	id    string // of the delivery, if the scheme signs it; or empty
}
