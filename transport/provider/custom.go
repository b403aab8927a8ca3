package provider

import "errors"

// Custom is a scheme of one's own.
type Custom struct {
	// Verify returns which of the secrets has made the request, a negative number if none
	// has, and an error if the request cannot be read; that text may be logged. One with a
	// method Busy() bool that returns true makes the sender try again. Verify must compare in
	// constant time, not wait beyond r.Context and r.Deadline, and may be called
	// concurrently. Required.
	//
	// A scheme whose keys are public, such as a set that is fetched, needs no secrets: Verify
	// then returns 0 for a match. Verify may replace r.Body, such as with what it has
	// decrypted: ID, Payload and Challenge take the new body, and the events are cut from it.
	// It must not change the bytes of the old one.
	Verify func(r *Request, secrets []string) (key int, err error)

	// Precheck refuses from the header alone what Verify would. Default: nothing.
	Precheck func(r *Request) error

	// Sign makes r a delivery of the sender, with the first secret, "" if there is none. Default: Sign of the provider is an error.
	Sign func(r *Request, id, secret string) error

	// Headers are those that prove who the sender is, such as "X-Acme-Key". An event does not
	// have them. Default: only headers whose names are known to be of this kind, such as
	// Authorization, are left out.
	Headers []string

	// Proof is what a match proves. Default ProofNone.
	Proof Proof
}

type customVerifier struct {
	Custom
	secrets []string
}

func (c Custom) traits() traits { return traits{headers: c.Headers} }

func (c Custom) bind(secrets []secret) (verifier, error) {
	if c.Verify == nil {
		return nil, errors.New("Custom.Verify is nil")
	}
	v := &customVerifier{Custom: c}
	for _, s := range secrets {
		v.secrets = append(v.secrets, s.text)
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

// Unsigned is the scheme of a sender that proves nothing, or whose proof something in
// front of the receiver has checked. Its events may come from anybody.
type Unsigned struct{}

func (Unsigned) traits() traits { return traits{} }

func (Unsigned) bind(secrets []secret) (verifier, error) {
	if len(secrets) > 0 {
		return nil, errors.New("Unsigned takes no secrets")
	}
	return Unsigned{}, nil
}

func (Unsigned) precheck(*Request) error        { return nil }
func (Unsigned) verify(*Request) (match, error) { return match{key: -1}, nil }
func (Unsigned) sign(*Request, string) error    { return nil }
