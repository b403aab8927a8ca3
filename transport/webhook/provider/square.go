package provider

import "time"

// Square returns the Provider for Square. Request.URL must be the notification URL that is
// configured at Square.
// (https://developer.squareup.com/docs/webhooks/step3validate)
func Square(secrets ...string) *Provider {
	p := &Provider{
		Name: "square", Deadline: 9 * time.Second,
		Retry:   Retry{Count: Source{Header: "Square-Retry-Number"}},
		Scheme:  Signature{Header: "X-Square-Hmacsha256-Signature", Encoding: EncodingBase64, Signed: "{url}{body}"},
		ID:      path("event_id"),
		Payload: Payload{ID: path("event_id"), Type: path("type")},
	}
	return p.with(secrets)
}
