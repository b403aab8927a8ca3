package provider

import "time"

// Intercom returns the Provider for Intercom. A secret is the client secret of the app. The type
// of an event is its topic; "ping" is a test. The HEAD request that checks the URL is answered.
//
// Intercom signs with HMAC-SHA1 only. It gives receivers that answer within 500 ms a higher
// priority, and after 429 delays all notifications for up to two hours.
// (https://developers.intercom.com/docs/webhooks/webhook-notifications)
func Intercom(secrets ...string) *Provider {
	p := &Provider{
		Name: "intercom", Deadline: 4500 * time.Millisecond,
		Answers:   answer200(),
		Retry:     Retry{Count: path("delivery_attempts"), From: 1},
		Scheme:    Signature{Algorithm: HMACSHA1, Header: "X-Hub-Signature", Prefix: "sha1="},
		ID:        path("id"),
		Payload:   Payload{ID: path("id"), Type: path("topic")},
		Handshake: answerHEAD,
	}
	return p.with(secrets)
}
