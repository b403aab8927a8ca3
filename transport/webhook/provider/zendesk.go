package provider

import (
	"net/http"
	"time"
)

// Zendesk returns the Provider for Zendesk. A secret is the signing secret as Zendesk shows
// it.
//
// Zendesk repeats a delivery only after 409, after 429 or 503 with a Retry-After of less than
// a minute, and after no answer. Therefore the answer to one whose signature does not match is
// 503.
// (https://developer.zendesk.com/documentation/webhooks/verifying/,
// https://developer.zendesk.com/api-reference/webhooks/introduction/#webhook-retries)
func Zendesk(secrets ...string) *Provider {
	p := &Provider{
		Name:    "zendesk",
		Answers: Answers{Forged: unavailable()},
		Retry:   Retry{Final: finalUnless(http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable)},
		Scheme: Signature{
			Header: "X-Zendesk-Webhook-Signature", Encoding: EncodingBase64,
			Timestamp: Timestamp{Header: "X-Zendesk-Webhook-Signature-Timestamp", Layout: time.RFC3339},
			Signed:    "{ts}{body}",
		},
		ID:      Source{Header: "X-Zendesk-Webhook-Invocation-Id"},
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	return p.with(secrets)
}
