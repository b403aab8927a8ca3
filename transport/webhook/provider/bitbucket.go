package provider

import (
	"net/http"
	"time"
)

// Bitbucket returns the Provider for Bitbucket Cloud. Bitbucket Data Center signs in the same
// way, but its delivery id is X-Request-Id; its unsigned ping is answered.
//
// Bitbucket Cloud repeats a delivery at most twice, immediately, and only after a 5xx or no
// answer. A delivery that is refused for longer is lost.
// (https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/,
// https://support.atlassian.com/bitbucket-cloud/docs/troubleshoot-webhooks/)
func Bitbucket(secrets ...string) *Provider {
	p := &Provider{
		Name: "bitbucket", Deadline: 9 * time.Second,
		Retry: Retry{
			Waits: []time.Duration{0, 0},
			Final: func(a Answer) bool { return a.Status < 500 },
			Count: Source{Header: "X-Attempt-Number"}, From: 1,
		},
		Scheme:    Signature{Header: "X-Hub-Signature", Prefix: "sha256="},
		ID:        Source{Header: "X-Request-Uuid"},
		Payload:   Payload{Type: Source{Header: "X-Event-Key"}},
		Handshake: bitbucketHandshake,
	}
	return p.with(secrets)
}

// bitbucketHandshake answers the connection test, which is not signed.
func bitbucketHandshake(r *Request) (*Answer, bool) {
	if r.Header.Get("X-Event-Key") != "diagnostics:ping" || r.Header.Get("X-Hub-Signature") != "" {
		return nil, false
	}
	return &Answer{Status: http.StatusOK}, true
}
