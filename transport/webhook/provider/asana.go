package provider

import (
	"net/http"
	"time"
)

// Asana returns the Provider for Asana's webhooks. Each webhook has a secret of its own, which
// Asana chooses.
//
// Asana sends it in an unsigned request while the call that creates the webhook is still open.
// expected is called with it. If it returns true, the secret is accepted and becomes a further
// secret: store it for the next start. It should return true only while a webhook is being
// created, because anyone can send such a request. It may be called concurrently, and more than
// once for one request. If it is nil, such requests are answered with 403, and a secret is
// required. Without a secret, deliveries are answered with 503.
//
// The type of an event is that of the resource and the action, such as "task:changed". A heartbeat
// has no events.
// (https://developers.asana.com/docs/webhooks-guide)
func Asana(expected func(secret string) bool, secrets ...string) *Provider {
	p := &Provider{
		Name: "asana", Deadline: 9 * time.Second,
		Scheme: Signature{
			Header: "X-Hook-Signature", form: secretForm{others: []string{"0/", "1/", "2/"}}, learned: expected != nil,
		},
		ID:      Source{Hash: true},
		Payload: Payload{Items: "events", Type: all("resource.resource_type", "action")},
	}
	p.Handshake = func(r *Request) (*Answer, bool) { return p.asanaHandshake(r, expected) }
	return p.with(secrets)
}

func (p *Provider) asanaHandshake(r *Request, expected func(secret string) bool) (*Answer, bool) {
	const name = "X-Hook-Secret"
	lines := r.Header[name]
	if r.Method != http.MethodPost || len(lines) != 1 {
		return nil, false
	}
	echo := &Answer{Status: http.StatusOK, Header: http.Header{name: {lines[0]}}}
	return p.learn(lines[0], expected, echo), true
}
