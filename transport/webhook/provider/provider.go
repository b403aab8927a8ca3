package provider

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
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

	// ID is where the delivery id is, if Scheme does not sign one. Default: none.
	ID Source

	// Payload is how the events are found in the body. Default: the body is one event.
	Payload Payload

	// Handshake answers a request by which a sender verifies the endpoint before it sends
	// deliveries. Nothing in r is verified yet: trust it no further than the handshake
	// requires. ok is false for any other request. For a POST, Handshake is called before the
	// body is read, and again with the body. It gets no secrets, but may close over those that
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
	if _, err := p.verifier(); err != nil {
		errs = append(errs, p.named(err))
	}
	return errors.Join(errs...)
}

// handshake calls Handshake if there is one.
func (p *Provider) handshake(r *Request) (a *Answer, ok bool) {
	if p.Handshake == nil {
		return nil, false
	}
	return p.Handshake(r)
}

// Precheck refuses, from the header alone, a request that fails verification whatever its body
// is. It is called before the body is read.
func (p *Provider) Precheck(r *Request) error {
	v, err := p.verifier()
	if err != nil {
		return p.named(err)
	}
	if err = v.precheck(r); err == nil {
		return nil
	}
	if _, ok := p.handshake(r); ok {
		return nil
	}
	return p.named(err)
}

// Receive verifies a request and parses it. It may be called concurrently. A verified body
// that does not match Payload is one event, unchanged.
//
// The error of a request that does not match has a method Forged() bool that returns true. The
// error of one that could not be verified for now, for example because r.Context or r.Deadline
// ended first, has a method Busy() bool that returns true. Any other error means a malformed
// request. Use errors.As to find the methods.
//
// Nothing in the body is parsed before the signature matches, except where the signature or
// token is inside the body, or the signature covers the parsed fields of a form, as Twilio's
// does.
func (p *Provider) Receive(r *Request) (*Delivery, error) {
	v, err := p.verifier()
	if err != nil {
		return nil, p.named(err)
	}
	if a, ok := p.handshake(r); ok {
		return &Delivery{Key: -1, Answer: a}, nil
	}
	m, err := v.verify(r)
	if err != nil {
		return nil, p.named(err)
	}
	d := p.parse(r, m)
	if p.Respond != nil {
		d.Answer = p.Respond(r, d)
	}
	return d, nil
}

// Sign makes r a delivery of this sender with the given delivery id at r.Time. It sets
// headers, and changes the body or the URL where the sender puts a signature, a time or a
// token there. It is for tests of a receiver. It uses the first secret, and returns an error
// if the provider has no private key for a scheme that needs one.
//
// If the delivery id is a part of the signed body, the caller must write it there.
func (p *Provider) Sign(r *Request, id string) error {
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
