package provider

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Figma returns the Provider for Figma's webhooks of version 2. A secret is the passcode, which
// every delivery and the Data of its
// event contain. The PING of a new webhook is answered and yields no event. The body is
// not protected.
//
// Figma stops a webhook after a 400. Therefore the answer to a delivery with a missing or wrong
// passcode is 503.
// (https://developers.figma.com/docs/rest-api/webhooks-security/)
func Figma(secrets ...string) *Provider {
	p := &Provider{
		Name:    "figma",
		Answers: Answers{Accepted: answer200().Accepted, Forged: unavailable(), Malformed: unavailable()},
		Retry:   Retry{Waits: figmaWaits(), Final: finalAfter(http.StatusBadRequest)},
		Scheme:  passcode{},
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

// passcode is the scheme of a secret in a member of the body.
type passcode struct{}

type passcodeVerifier struct{ secretSums }

const passcodeMember = "passcode"

func (passcode) traits() traits { return traits{} }

func (passcode) newVerifier(secrets []secret) (verifier, error) {
	for _, s := range secrets {
		if err := (&secretForm{others: []string{"figd_", "figu_"}}).check(s.text); err != nil {
			return nil, s.wrap(err)
		}
	}
	h, err := newSecretSums(secrets)
	return &passcodeVerifier{h}, err
}

func (v *passcodeVerifier) precheck(*Request) error { return nil }

func (v *passcodeVerifier) verify(r *Request) (match, error) {
	text := decode.Field(r.Body, passcodeMember)
	if text == "" {
		return match{}, malformed("no passcode in the body")
	}
	m, err := v.find(text)
	if err != nil {
		return match{}, err
	}
	return m, unambiguous(r.Body)
}

func (v *passcodeVerifier) sign(r *Request, _ string) error {
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	body[passcodeMember] = v.texts[0]
	r.Body, err = json.Marshal(body)
	return err
}
