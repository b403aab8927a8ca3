package provider

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Provider describes one sender. A preset such as GitHub returns one that lacks only what is
// specific to the account, such as secrets. Every field may be changed before the Provider is
// in use. SetSecrets sets the secrets of a Provider that is not a preset.
type Provider struct {
	// Name appears in errors, such as "github". Required.
	Name string

	// Deadline is how long the sender waits for an answer, less a margin. Default: 10 s.
	Deadline time.Duration

	// Answers are the responses to this sender. Default: those named at Answers.
	Answers Answers

	// Retry is how this sender repeats a delivery. Default: those named at Retry.
	Retry Retry

	// Scheme is how a delivery is verified. Required; Unsigned{} verifies nothing.
	Scheme Scheme

	// Tenants looks up the secrets by request. Default: all requests have the same secrets.
	Tenants Tenants

	// ID is where the delivery id is, if Scheme does not sign one. Default: none.
	ID Source

	// Payload is how the events are found in the body. Default: the body is one event.
	Payload Payload

	// Methods are the methods of requests that are deliveries. The payload of a GET or DELETE
	// without a body is its query, which is a form. Where the signature covers the body alone,
	// such a delivery has transport.ProofMetadata. Default: POST.
	Methods []string

	// Gzip is how a body with the content coding gzip is handled. Default: it is refused.
	Gzip Gzip

	// Networks are the networks from which the sender connects. A request from any other is
	// refused before its body is read, as one with a wrong signature is. If proxies are in front
	// of the receiver, set webhook.Receiver.Proxies. Default: all.
	Networks []netip.Prefix

	// ClientNames are the DNS names of the sender's client certificate: it must be verified and
	// valid for one of them. A request without it is refused, as one with a wrong signature is.
	// Set ClientAuth and ClientCAs in the TLS configuration of the server. Default: no certificate
	// is required.
	ClientNames []string

	// Handshake answers a request by which a sender verifies the endpoint before it sends
	// deliveries. Nothing in r is verified yet: trust it no further than the handshake
	// requires. ok is false for any other request. For one of Methods, Handshake is called before
	// the body is read, and again with the body. It gets no secrets, but may close over those that
	// it compares. It may be called concurrently. Default: no handshake is answered.
	//
	// Some senders, such as Notion and monday, ask with an unsigned POST. To read its body,
	// Handshake returns nil and true while r.Body is nil. It then returns false for a body
	// that is not a handshake, which is verified.
	Handshake func(r *Request) (a *Answer, ok bool)

	// Respond returns the answer to a verified request that needs more than a 2xx, or nil. It
	// may change d, and removes the Events of a delivery that is only a handshake. It may be
	// called concurrently. Default: none.
	Respond func(r *Request, d *Delivery) *Answer

	secrets atomic.Pointer[secretSet]
	tenants tenantCache
}

// Validate reports every configuration error of the provider, such as an empty secret, as one
// joined error.
func (p *Provider) Validate() error {
	var errs []error
	if p.Name == "" {
		errs = append(errs, errors.New("provider: Name is empty"))
	}
	if p.Deadline < 0 {
		errs = append(errs, p.named(fmt.Errorf("negative Deadline: %v", p.Deadline)))
	}
	for _, a := range []Answer{p.Answers.Accepted, p.Answers.Queued, p.Answers.Duplicate} {
		if a.Status != 0 && a.Status/100 != 2 {
			errs = append(errs, p.named(errors.New("Answers: Accepted, Queued and Duplicate need a 2xx status")))
		}
	}
	for _, method := range p.Methods {
		if method == "" || method != strings.ToUpper(method) {
			errs = append(errs, p.named(fmt.Errorf("%q in Methods is not in upper case", method)))
		}
	}
	for i, network := range p.Networks {
		switch {
		case !network.IsValid():
			errs = append(errs, p.named(fmt.Errorf("element %d of Networks is not a network", i)))
		case network.Addr().Is4In6():
			errs = append(errs, p.named(fmt.Errorf("element %d of Networks is an IPv4 network in IPv6: write it as IPv4", i)))
		}
	}
	if slices.Contains(p.ClientNames, "") {
		errs = append(errs, p.named(errors.New("a name in ClientNames is empty")))
	}
	if p.Gzip > GzipPlain {
		errs = append(errs, p.named(fmt.Errorf("unknown Gzip: %d", p.Gzip)))
	}
	if p.Tenants.isSet() {
		errs = append(errs, p.named(p.validateTenants()))
	} else if _, err := p.verifier(); err != nil {
		errs = append(errs, p.named(err))
	}
	return errors.Join(errs...)
}

// Accepts reports whether requests with the given method can be deliveries.
func (p *Provider) Accepts(method string) bool {
	if len(p.Methods) == 0 {
		return method == http.MethodPost
	}
	return slices.Contains(p.Methods, method)
}

// handshake calls Handshake if there is one.
func (p *Provider) handshake(r *Request) (a *Answer, ok bool) {
	if p.Handshake == nil {
		return nil, false
	}
	return p.Handshake(r)
}

// Admit refuses a request, also a handshake, from an address outside Networks or without a
// certificate for ClientNames. It is called first.
func (p *Provider) Admit(r *Request) error {
	if len(p.Networks) > 0 && !slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(r.Peer) }) {
		return p.named(&refusal{reason: "the sender's address is not in Networks, or a proxy in front is not in Receiver.Proxies", forged: true})
	}
	if len(p.ClientNames) > 0 && !r.certifies(p.ClientNames) {
		return p.named(&refusal{reason: "no verified client certificate for one of ClientNames", forged: true})
	}
	return nil
}

// Precheck refuses, from the header alone, a request that fails verification whatever its body
// is. It is called before the body is read. It looks up the tenant, unless its name is in the body.
func (p *Provider) Precheck(r *Request) error {
	if p.Tenants.inBody() {
		return nil
	}
	err := p.check(r, func(v verifier) error { return v.precheck(r) })
	if err == nil {
		return nil
	}
	if _, ok := p.handshake(r); ok {
		return nil
	}
	return p.named(err)
}

// Receive verifies a request and parses it. It may be called concurrently. A verified body
// that does not match Payload is one event, unchanged. If it decompresses the body, it sets
// r.Body.
//
// The error of a request that does not match has a method Forged() bool that returns true. The
// error of one that could not be verified for now, for example because r.Context or r.Deadline
// ended first, has a method Busy() bool that returns true. Any other error means a malformed
// request. Use errors.As to find the methods.
//
// Nothing in the body is parsed before the signature matches, except where the signature or
// token is inside the body, the signature covers the parsed fields of a form, as Twilio's does,
// or Tenants are named in the body.
func (p *Provider) Receive(r *Request) (*Delivery, error) {
	if err := p.Admit(r); err != nil {
		return nil, err
	}
	if !p.Tenants.isSet() {
		if _, err := p.verifier(); err != nil {
			return nil, p.named(err)
		}
	}
	compressed := p.Gzip != GzipRefuse && isGzip(r.Header)
	if compressed && p.Gzip == GzipPlain {
		if err := r.decompress(); err != nil {
			return nil, p.named(err)
		}
	}
	if a, ok := p.handshake(r); ok {
		return &Delivery{Key: -1, Answer: a}, nil
	}
	var m match
	received := r.Body // Verify of a Custom may replace it
	err := p.check(r, func(v verifier) (err error) {
		m, err = v.verify(r)
		return err
	})
	if err == nil && r.tenant.unknown {
		err = unknownTenant()
	}
	if err == nil && compressed && p.Gzip == GzipCompressed {
		err = r.decompress()
	}
	if err == nil {
		err = p.Tenants.unambiguous(received)
	}
	if err != nil {
		return nil, p.named(err)
	}
	d := p.parse(r, m)
	if p.Respond != nil {
		d.Answer = p.Respond(r, d)
	}
	return d, nil
}

// certifies reports whether the client's certificate is verified and valid for one of names.
func (r *Request) certifies(names []string) bool {
	if r.HTTP == nil || r.HTTP.TLS == nil || len(r.HTTP.TLS.VerifiedChains) == 0 {
		return false
	}
	leaf := r.HTTP.TLS.VerifiedChains[0][0]
	return slices.ContainsFunc(names, func(name string) bool { return leaf.VerifyHostname(name) == nil })
}

// Sign makes r a delivery of this sender with the given delivery id at r.Time. It sets
// headers, and changes the body or the URL where the sender puts a signature, a time or a
// token there. It is for tests of a receiver. It uses the first secret, and returns an error
// if the provider has no private key for a scheme that needs one.
//
// If the delivery id is a part of the signed body, the caller must write it there.
func (p *Provider) Sign(r *Request, id string) error {
	if p.Tenants.isSet() {
		return p.named(errors.New("Tenants is set: Sign needs a Provider with the secrets of one tenant"))
	}
	v, err := p.verifier()
	if err != nil {
		return p.named(err)
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if name := cmp.Or(p.ID.Header, p.Payload.ID.Header); name != "" && id != "" {
		r.Header.Set(name, id)
	}
	return p.named(v.sign(r, id))
}
