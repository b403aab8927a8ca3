package provider

import (
	"net/http"
	"time"
)

// X returns the Provider for X's Account Activity API. A secret is the consumer secret. The
// answer to the hourly challenge is signed with the first secret.
// (https://docs.x.com/x-api/webhooks/quickstart)
func X(secrets ...string) *Provider {
	p := &Provider{
		Name: "x", Deadline: 2500 * time.Millisecond,
		Answers: answer200(),
		Scheme: Signature{
			Header: "X-Twitter-Webhooks-Signature", Prefix: "sha256=", Encoding: EncodingBase64, body: onlyObject,
		},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path(`@keys.#(%"*_event*")`)},
	}
	p.Handshake = p.xHandshake
	return p.with(secrets)
}

// onlyObject refuses a body that is not a JSON object. The challenge signs any token that a
// request names, so no token may be accepted as a body.
func onlyObject(r *Request) ([]byte, error) {
	if len(r.Body) == 0 || r.Body[0] != '{' {
		return nil, forged()
	}
	return r.Body, nil
}

func (p *Provider) xHandshake(r *Request) (*Answer, bool) {
	token := query(r).Get("crc_token")
	if r.Method != http.MethodGet || token == "" {
		return nil, false
	}
	secret := p.secret(r, 0)
	if !harmless(token, base64Chars) || secret == "" {
		return &Answer{Status: http.StatusBadRequest}, true
	}
	return jsonAnswer(`{"response_token":"sha256=` + EncodingBase64.encode(macOf(secret, token)) + `"}`), true
}
