package provider

import (
	"net/http"
	"time"
)

// Trello returns the Provider for Trello. A secret is the OAuth secret of the app, not the API
// key or a token. Request.URL must be the callbackURL exactly as it was given to Trello, with its
// query. The HEAD request that checks it is answered. Trello signs with HMAC-SHA1 only.
// (https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/)
func Trello(secrets ...string) *Provider {
	p := &Provider{
		Name:    "trello",
		Answers: answer200(),
		Retry:   Retry{Waits: []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute}, Final: finalAfter(http.StatusGone)},
		Scheme: Signature{
			Algorithm: HMACSHA1, Header: "X-Trello-Webhook", Encoding: EncodingBase64, Signed: "{body}{url}",
			form: secretForm{others: []string{"ATTA"}},
		},
		ID:        path("action.id"),
		Payload:   Payload{ID: path("action.id"), Type: path("action.type")},
		Handshake: answerHEAD,
	}
	return p.with(secrets)
}
