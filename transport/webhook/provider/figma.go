package provider

import (
	"net/http"
	"time"
)

// Figma returns the Provider for Figma's webhooks of version 2. A secret is the passcode, which
// every delivery contains, and the Data of its event too. The PING of a new webhook is answered and
// yields no event. The body is not protected.
//
// Figma stops a webhook after a 400. Therefore the answer to a delivery with a missing or wrong
// passcode is 503.
// (https://developers.figma.com/docs/rest-api/webhooks-security/)
func Figma(secrets ...string) *Provider {
	p := &Provider{
		Name:    "figma",
		Answers: Answers{Accepted: answer200().Accepted, Forged: unavailable(), Malformed: unavailable()},
		Retry:   Retry{Waits: figmaWaits(), Final: finalAfter(http.StatusBadRequest)},
		Scheme:  passcode{Token{Path: "passcode"}},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path("event_type")},
		Respond: figmaPing,
	}
	return p.with(secrets)
}

func figmaWaits() []time.Duration {
	return []time.Duration{5 * time.Minute, 30 * time.Minute, 3 * time.Hour}
}

// figmaPing removes the event of a delivery that only tests the URL.
func figmaPing(_ *Request, d *Delivery) *Answer {
	if d.kind() == "PING" {
		d.Events = nil
	}
	return nil
}

// passcode is a Token that is not one of Figma's API tokens.
type passcode struct{ Token }

func (t passcode) newVerifier(secrets []secret) (verifier, error) {
	for _, s := range secrets {
		if err := (&secretForm{others: []string{"figd_", "figu_"}}).check(s.text); err != nil {
			return nil, s.wrap(err)
		}
	}
	return t.Token.newVerifier(secrets)
}
