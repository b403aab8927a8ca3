package provider

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// Mandrill returns the Provider for Mailchimp Transactional, formerly Mandrill. A secret is the
// key of the webhook. Request.URL must be the URL exactly as it was entered at Mandrill, with its
// query. The requests that check a new URL are answered.
// (https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/)
func Mandrill(secrets ...string) *Provider {
	p := &Provider{
		Name:    "mandrill",
		Answers: answer200(),
		Scheme: Signature{
			Algorithm: HMACSHA1, Header: "X-Mandrill-Signature", Encoding: EncodingBase64, Signed: "{url}{body}",
			form: secretForm{others: []string{"md-"}}, body: mandrillBody,
		},
		ID: Source{Hash: true},
		Payload: Payload{
			Form: "mandrill_events", Items: "@this",
			ID:   all("_id", "event", "ts", "url"), // _id is that of the message
			Type: path("event", "type"),
		},
		Handshake: mandrillHandshake,
	}
	return p.with(secrets)
}

// mandrillBody returns the part of a body that is signed: each name of the form with its value,
// sorted by name.
func mandrillBody(r *Request) ([]byte, error) {
	if mediaType(r) != formType {
		return nil, malformed("the body is not a form")
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || decode.Field([]byte(form.Get("mandrill_events")), "#") == "" {
		return nil, malformed("the form has no array mandrill_events") // or the signed text is split in another way
	}
	return signedForm(form), nil
}

// mandrillHandshake answers a check of the URL: a HEAD request, or a form without events that is
// signed with a key that everyone knows.
func mandrillHandshake(r *Request) (*Answer, bool) {
	if a, ok := answerHEAD(r); ok {
		return a, true
	}
	if r.Method != http.MethodPost || !bytes.HasPrefix(r.Body, []byte("mandrill_events=")) {
		return nil, false
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || len(form) != 1 || strings.TrimSpace(form.Get("mandrill_events")) != "[]" {
		return nil, false
	}
	return &Answer{Status: http.StatusOK}, true
}
