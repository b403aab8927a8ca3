package provider

import (
	"cmp"
	"errors"
	"net/http"
)

// Validate reports everything about the provider that cannot work, an empty secret above
// all, joined into one error.
func (p *Provider) Validate() error {
	var errs []error
	if p.Name == "" {
		errs = append(errs, errors.New("provider: Name is empty"))
	}
	if p.Deadline < 0 {
		errs = append(errs, p.named(errors.New("Deadline is negative")))
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

// Greet answers a request that has no delivery in it: GET, HEAD and OPTIONS of a
// handshake. ok is false if this sender never sends such a request.
func (p *Provider) Greet(r *Request) (a *Answer, ok bool) {
	if p.Greeting == nil {
		return nil, false
	}
	return p.Greeting(r)
}

// Precheck refuses, from the header alone, what cannot be verified whatever the body is.
// It is called before the body is read.
func (p *Provider) Precheck(r *Request) error {
	v, err := p.verifier()
	if err != nil {
		return p.named(err)
	}
	if err = v.precheck(r); err == nil {
		return nil
	}
	if _, ok := p.Greet(r); ok {
		return nil
	}
	return p.named(err)
}

// Receive verifies the request and takes it apart. Nothing of the body is parsed before
// the signature has matched, except where the signature is inside of it. The error of one
// that does not match has a method Forged() bool that returns true, and of one that could
// not be verified before r.Context or r.Deadline ended, a method Busy() bool does; any other
// error is a request that cannot be read. Receive may be called from several goroutines at once.
//
// A verified body that is not what the provider expects is one event as it is.
func (p *Provider) Receive(r *Request) (*Delivery, error) {
	v, err := p.verifier()
	if err != nil {
		return nil, p.named(err)
	}
	if a, ok := p.Greet(r); ok {
		return &Delivery{Key: -1, Answer: a}, nil
	}
	m, err := v.verify(r)
	if err != nil {
		return nil, p.named(err)
	}
	d := p.open(r, m)
	if p.Challenge != nil {
		d.Answer = p.Challenge(r, d)
	}
	return d, nil
}

// Sign makes r a delivery of this sender, with the given delivery id and at r.Time: it
// sets header, and body where the signature is inside of it. It is for senders under
// test. It returns an error for a scheme whose private key the provider does not have.
//
// The first secret signs. An id that the sender has in the body, signed by its header, is
// the caller's to write there.
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
