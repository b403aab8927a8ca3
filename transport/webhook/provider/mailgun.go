package provider

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Mailgun returns the Provider for Mailgun's webhooks and for its routes, which forward received
// mail. A secret is the HTTP webhook signing key. The body of a route is a form, multipart if the
// mail has attachments; it is the Data of the event, for mime/multipart with the Content-Type of
// its Delivery. Such a mail often exceeds the default of Receiver.MaxBody.
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
	stamp, token, signature, err := mailgunSignature(r)
	if err != nil {
		return match{}, err
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
	m := match{key: key, proof: transport.ProofMetadata, id: token}
	if isForm(r) {
		return m, nil
	}
	return m, unambiguous(r.Body)
}

// mailgunSignature returns the signature in a body: JSON, or the form of a route.
func mailgunSignature(r *Request) (stamp, token, signature string, err error) {
	if !isForm(r) {
		field := decode.Fields(r.Body)
		stamp, token, signature = field("signature.timestamp"), field("signature.token"), field("signature.signature")
	} else {
		f, ok := formFields(r, r.Body, "timestamp", "token", "signature")
		if !ok || f[0].n > 1 || f[1].n > 1 || f[2].n > 1 {
			return "", "", "", malformed("the form is malformed, or has a field of the signature twice")
		}
		stamp, token, signature = f[0].value, f[1].value, f[2].value
	}
	if stamp == "" || token == "" || signature == "" {
		err = malformed("no signature in the body")
	}
	return stamp, token, signature, err
}

func (v mailgunVerifier) sign(r *Request, id string) error {
	stamp := v.Timestamp.format(r.now())
	signature, err := v.signText(stamp + id)
	if err != nil {
		return err
	}
	if isForm(r) {
		return signForm(r, formField{name: "timestamp", value: stamp}, formField{name: "token", value: id}, formField{name: "signature", value: signature})
	}
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	body["signature"] = map[string]string{"timestamp": stamp, "token": id, "signature": signature}
	r.Body, err = json.Marshal(body)
	return err
}
