package provider

import "net/http"

// Typeform returns the Provider for Typeform's form responses. Typeform disables the webhook
// after a 404 or a 410.
// (https://www.typeform.com/developers/webhooks/secure-your-webhooks/)
func Typeform(secrets ...string) *Provider {
	p := &Provider{
		Name:    "typeform",
		Retry:   Retry{Final: finalAfter(http.StatusNotFound, http.StatusGone)},
		Scheme:  Signature{Header: "Typeform-Signature", Prefix: "sha256=", Encoding: EncodingBase64},
		ID:      path("event_id"),
		Payload: Payload{ID: path("event_id"), Type: path("event_type")},
	}
	return p.with(secrets)
}
