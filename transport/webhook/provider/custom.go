package provider

import (
	"errors"

	"github.com/steadfeed/steadfeed/transport"
)

// Custom is a user-defined scheme.
type Custom struct {
	// Verify returns the index of the secret that matches the request, a negative number if
	// none does, or an error if the request is malformed. The text of an error may be logged.
	// An error with a method Busy() bool that returns true asks the sender to try again.
	// Verify must compare in constant time and must not wait beyond r.Context and r.Deadline.
	// It may be called concurrently. Required.
	//
	// A scheme whose keys are public, such as a key set that is fetched, needs no secrets:
	// Verify then returns 0 for a match. Verify may replace r.Body, for example with the
	// decrypted body: ID, Payload and Respond then use the new body. It must not change the
	// bytes of the old one.
	Verify func(r *Request, secrets []string) (key int, err error)

	// Precheck verifies a request from its header, before the body is read. It may be called
	// concurrently. Default: nothing is verified.
	Precheck func(r *Request) error

	// Sign makes r a delivery of the sender, with the first secret, or "" if there is none.
	// Default: Provider.Sign returns an error.
	Sign func(r *Request, id, secret string) error

	// Validate reports errors in the configuration of the scheme and in its secrets. It is called
	// once for each set of secrets, before Verify. The text of its error may be logged. Default: no
	// error.
	Validate func(secrets []string) error

	// Headers are those that authenticate the sender, such as "X-Acme-Key". They are removed
	// from events. Default: only well-known ones, such as Authorization, are removed.
	Headers []string

	// SignsURL means that Verify depends on the URL of the request. Receiver.URL is then required.
	SignsURL bool

	// Causes are the possible causes of a failed verification, such as "wrong secret". They are the
	// same for every request. Default: none are named.
	Causes []string

	// Proof is what a match proves. Default: transport.ProofNone.
	Proof transport.Proof
}

// customizer is a scheme of another package.
type customizer interface{ Custom() Custom }

// resolve returns the scheme that s stands for.
func resolve(s Scheme) Scheme {
	if c, ok := s.(customizer); ok && !isNil(s) {
		return c.Custom()
	}
	return s
}

type customVerifier struct {
	Custom
	secrets []string
}

func (c Custom) traits() traits {
	t := traits{headers: c.Headers, url: c.SignsURL}
	if len(c.Causes) > 0 {
		t.causes = oneOf(c.Causes...)
	}
	return t
}

func (c Custom) newVerifier(secrets []secret) (verifier, error) {
	if c.Verify == nil {
		return nil, errors.New("Custom.Verify is nil")
	}
	v := &customVerifier{Custom: c}
	for _, s := range secrets {
		v.secrets = append(v.secrets, s.text)
	}
	if c.Validate != nil {
		return v, c.Validate(v.secrets)
	}
	return v, nil
}

func (v *customVerifier) precheck(r *Request) error {
	if v.Precheck == nil {
		return nil
	}
	return v.Precheck(r)
}

func (v *customVerifier) verify(r *Request) (match, error) {
	key, err := v.Verify(r, v.secrets)
	switch {
	case err != nil:
		return match{}, err
	case key < 0 || key >= max(len(v.secrets), 1):
		return match{}, forged()
	case len(v.secrets) == 0:
		key = -1
	}
	return match{key: key, proof: v.Proof}, nil
}

func (v *customVerifier) sign(r *Request, id string) error {
	if v.Sign == nil {
		return errors.New("Custom.Sign is nil")
	}
	secret := ""
	if len(v.secrets) > 0 {
		secret = v.secrets[0]
	}
	return v.Sign(r, id, secret)
}
