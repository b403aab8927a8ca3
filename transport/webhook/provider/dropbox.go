package provider

import (
	"net/http"
	"time"
)

// Dropbox returns the Provider for Dropbox change notifications. The challenge is answered.
// (https://www.dropbox.com/developers/reference/webhooks)
func Dropbox(secrets ...string) *Provider {
	p := &Provider{
		Name: "dropbox", Deadline: 9 * time.Second,
		Answers: answer200(),
		Scheme:  Signature{Header: "X-Dropbox-Signature"},
		Handshake: func(r *Request) (*Answer, bool) {
			token := query(r).Get("challenge")
			if r.Method != http.MethodGet || token == "" {
				return nil, false
			}
			return plain(token, ""), true
		},
	}
	return p.with(secrets)
}
