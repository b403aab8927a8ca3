package provider

// Buildkite returns the Provider for Buildkite, in both of its modes. A secret is the token of the
// webhook: Buildkite signs with it, or sends it, which does not protect the body. A signature that
// does not match is refused even if the token matches. Deliveries have no id.
// (https://buildkite.com/docs/apis/webhooks/pipelines)
func Buildkite(secrets ...string) *Provider {
	p := &Provider{
		Name:    "buildkite",
		Scheme:  buildkite{},
		Payload: Payload{Type: path("event")},
	}
	return p.with(secrets)
}

// buildkite is the scheme of both modes.
type buildkite struct{}

func buildkiteSignature() Signature {
	return Signature{
		Header: "X-Buildkite-Signature", Prefix: "signature=", Separator: ",", form: secretForm{others: []string{"bkua_"}},
		Timestamp: Timestamp{Prefix: "timestamp="}, Signed: "{ts}.{body}",
	}
}

func buildkiteToken() Token { return Token{Header: "X-Buildkite-Token"} }

func (buildkite) traits() traits {
	return traits{headers: []string{buildkiteSignature().Header, buildkiteToken().Header}, causes: buildkiteSignature().traits().causes}
}

func (buildkite) newVerifier(secrets []secret) (verifier, error) {
	signature, err := buildkiteSignature().newVerifier(secrets)
	if err != nil {
		return nil, err
	}
	token, err := buildkiteToken().newVerifier(secrets)
	return &signatureOrToken{signature: signature, token: token, signer: signature}, err
}
