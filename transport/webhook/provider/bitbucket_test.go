package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func bitbucketSample() sample {
	return sample{
		name: "bitbucket", make: provider.Bitbucket, id: "b1", wantID: "b1",
		header: map[string]string{"X-Event-Key": "repo:push", "X-Request-UUID": "b1"},
		body:   `{"push":{}}`, events: " repo:push", sign: onHeader("X-Hub-Signature", "sha256=", hexMAC),
		vectors: []string{"bitbucket-sha256"},
	}
}

func TestBitbucketHandshake(t *testing.T) {
	event := func(kind string) *provider.Request {
		r := get("")
		r.Header.Set("X-Event-Key", kind)
		return r
	}
	testUnsignedHandshake(t, provider.Bitbucket(key), []handshakeCase{
		{event("diagnostics:ping"), 200, ""},
		{event("repo:push"), 0, ""},
	})
}
