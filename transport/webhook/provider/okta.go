package provider

import (
	"net/http"
	"time"
)

// Okta returns the Provider for Okta's event hooks. A secret is the authentication secret, which
// Okta sends as the whole value of the header Authorization. For an authentication field of
// another name, change the Header of the Scheme, a Token. The one-time verification is answered.
// The body is not protected.
//
// Okta repeats a delivery once, and never after a 4xx. Therefore the answer to one with a missing
// or wrong secret is 503.
// (https://developer.okta.com/docs/concepts/event-hooks/)
func Okta(secrets ...string) *Provider {
	p := &Provider{
		Name: "okta", Deadline: 2500 * time.Millisecond,
		Answers: Answers{Forged: unavailable(), Malformed: unavailable()},
		Retry: Retry{
			Waits: []time.Duration{0},
			Final: func(a Answer) bool { return a.Status/100 == 4 },
		},
		Scheme:    Token{Header: "Authorization"},
		ID:        path("eventId"),
		Payload:   Payload{Items: "data.events", ID: path("uuid"), Type: path("eventType"), Unique: true},
		Handshake: oktaHandshake,
	}
	return p.with(secrets)
}

func oktaHandshake(r *Request) (*Answer, bool) {
	challenge := r.Header.Get("X-Okta-Verification-Challenge")
	if r.Method != http.MethodGet || challenge == "" {
		return nil, false
	}
	if !harmless(challenge, base64Chars) {
		return &Answer{Status: http.StatusBadRequest}, true
	}
	return jsonAnswer(`{"verification":"` + challenge + `"}`), true
}
