package provider

import (
	"net/http"

	"github.com/steadfeed/steadfeed/decode"
)

// Notion returns the Provider for Notion's integration webhooks. A secret is the verification
// token of the subscription.
//
// Notion sends the token in an unsigned request when the subscription is created; it must then be
// entered into Notion's form. expected is called with it. If it returns true, the token is
// accepted and becomes a further secret: store it for the next start. It should return true only
// while a subscription is being created, because anyone can send such a request. It may be called
// concurrently, and more than once for one request. If it is nil, such requests are answered with
// 403, and a secret is required. Without a secret, deliveries are answered with 503.
// (https://developers.notion.com/reference/webhooks)
func Notion(expected func(token string) bool, secrets ...string) *Provider {
	p := &Provider{
		Name:    "notion",
		Answers: answer200(),
		Retry:   Retry{Count: path("attempt_number"), From: 1},
		Scheme: Signature{
			Header: "X-Notion-Signature", Prefix: "sha256=",
			form: secretForm{others: []string{"ntn_"}}, learned: expected != nil,
		},
		ID:      path("id"),
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	p.Handshake = func(r *Request) (*Answer, bool) { return p.notionHandshake(r, expected) }
	return p.with(secrets)
}

func (p *Provider) notionHandshake(r *Request, expected func(token string) bool) (*Answer, bool) {
	if r.Method != http.MethodPost || r.Header.Get("X-Notion-Signature") != "" {
		return nil, false
	}
	if r.Body == nil {
		return nil, true
	}
	token := decode.Field(r.Body, "verification_token")
	if token == "" {
		return nil, false
	}
	return p.learn(token, expected, &Answer{Status: http.StatusOK}), true
}
