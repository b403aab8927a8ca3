package provider

// signatureOrToken is the verifier of a sender that signs, or sends a token without a signature.
type signatureOrToken struct {
	signature, token verifier // nil without a secret for it
	signer           verifier // that of the first secret
}

func (v *signatureOrToken) precheck(r *Request) error {
	_, err := v.either(func(one verifier) (match, error) { return match{}, one.precheck(r) })
	return err
}

func (v *signatureOrToken) verify(r *Request) (match, error) {
	return v.either(func(one verifier) (match, error) { return one.verify(r) })
}

// either checks the signature, and then the token of a request without one.
func (v *signatureOrToken) either(check func(verifier) (match, error)) (m match, err error) {
	if v.signature != nil {
		if m, err = check(v.signature); err == nil || isForged(err) || v.token == nil {
			return m, err
		}
	}
	m, failure := check(v.token)
	if failure == nil {
		return m, nil
	}
	return match{}, worse(err, failure)
}

func (v *signatureOrToken) sign(r *Request, id string) error { return v.signer.sign(r, id) }
