package provider

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Mailgun returns the Provider for Mailgun. A secret is the HTTP webhook signing key.
//
// Mailgun repeats a delivery for eight hours with the same time, token and signature, so the
// time may be a day off. The receiver recognizes a duplicate by the token.
//
// # Security
//
// Only the time and the token are signed: an observer of a delivery can replace its event,
// once. Therefore the token is the delivery id, and TLS must end at a trusted host.
// (https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks,
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries)
func Mailgun(secrets ...string) *Provider {
	p := &Provider{
		Name: "mailgun", Deadline: 9 * time.Second,
		Answers: answer200(), // Mailgun repeats a delivery after any other 2xx
		Retry: Retry{
			Waits: []time.Duration{
				5 * time.Minute, 10 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
			},
			Verbatim: true,
			Final:    finalAfter(http.StatusNotAcceptable),
		},
		Scheme: mailgun{},
		Payload: Payload{
			ID:   Source{Path: []string{"event-data.id"}},
			Type: Source{Path: []string{"event-data.event"}},
		},
	}
	return p.with(secrets)
}

// mailgunTolerance exceeds the time for which Mailgun repeats one signature.
const mailgunTolerance = day

type mailgun struct{}

type mailgunVerifier struct{ *signatureVerifier }

func (mailgun) traits() traits { return traits{causes: oneOf(causeSecret, causeClock)} }

func (mailgun) newVerifier(secrets []secret) (verifier, error) {
	s, err := textSignature(Signature{}, secrets)
	if s != nil {
		s.Timestamp.Tolerance = mailgunTolerance
	}
	return mailgunVerifier{s}, err
}

func (v mailgunVerifier) precheck(*Request) error { return nil }

func (v mailgunVerifier) verify(r *Request) (match, error) {
	field := decode.Fields(r.Body)
	stamp, token, signature := field("signature.timestamp"), field("signature.token"), field("signature.signature")
	if stamp == "" || token == "" || signature == "" {
		return match{}, malformed("no signature in the body")
	}
	if !harmless(token, "") {
		return match{}, malformed("the token is malformed")
	}
	if err := v.Timestamp.check(stamp, r.now()); err != nil {
		return match{}, err
	}
	key, err := v.verifyText(r, stamp+token, signature)
	if err != nil {
		return match{}, err
	}
	return match{key: key, proof: transport.ProofMetadata, id: token}, unambiguous(r.Body)
}

func (v mailgunVerifier) sign(r *Request, id string) error {
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	stamp := v.Timestamp.format(r.now())
	signature, err := v.signText(stamp + id)
	if err != nil {
		return err
	}
	body["signature"] = map[string]string{"timestamp": stamp, "token": id, "signature": signature}
	r.Body, err = json.Marshal(body)
	return err
}
