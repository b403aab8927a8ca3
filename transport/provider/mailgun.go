package provider

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Mailgun takes its webhooks. Only a time and a token are signed, and the event is not:
// anyone who sees a delivery can put another event into it, once. So the token names the
// delivery, and TLS must end where it is trusted to. A secret is the HTTP webhook signing
// key.
//
// For eight hours Mailgun repeats a delivery with the same time, token and signature, so a
// time may be a day off: what keeps an event from coming twice is that the receiver
// remembers the token. (https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks,
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries)
func Mailgun(secrets ...string) *Provider {
	p := &Provider{
		Name: "mailgun", Deadline: 9 * time.Second,
		Answers: answer200(), // any other 2xx makes it send again
		Retry: Retry{
			Waits: []time.Duration{
				5 * time.Minute, 10 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
			},
			Verbatim: true,
			Final:    after(http.StatusNotAcceptable),
		},
		Scheme: mailgun{},
		Payload: Payload{
			ID:   Source{Path: []string{"event-data.id"}},
			Type: Source{Path: []string{"event-data.event"}},
		},
	}
	return p.with(secrets)
}

// mailgunTolerance is longer than Mailgun repeats one signature.
const mailgunTolerance = day

type mailgun struct{}

type mailgunVerifier struct{ *signer }

func (mailgun) traits() traits { return traits{doubts: anyOf(doubtSecret, doubtClock)} }

func (mailgun) bind(secrets []secret) (verifier, error) {
	s, err := inner(Signature{}, secrets)
	if s != nil {
		s.Timestamp.Tolerance = mailgunTolerance
	}
	return mailgunVerifier{s}, err
}

func (v mailgunVerifier) precheck(*Request) error { return nil }

func (v mailgunVerifier) verify(r *Request) (match, error) {
	field := decode.Check(r.Body).Field
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
	key, err := v.made(r, stamp+token, signature)
	if err != nil {
		return match{}, err
	}
	return match{key: key, proof: ProofMetadata, id: token}, unambiguous(r.Body)
}

func (v mailgunVerifier) sign(r *Request, id string) error {
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	stamp := v.Timestamp.format(r.now())
	signature, err := v.make(stamp + id)
	if err != nil {
		return err
	}
	body["signature"] = map[string]string{"timestamp": stamp, "token": id, "signature": signature}
	r.Body, err = json.Marshal(body)
	return err
}
