package provider_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func gitHubSample() sample {
	return sample{
		name: "github", make: provider.GitHub, id: "g1", wantID: "g1",
		header: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "g1"},
		body:   `{"ref":"main"}`, events: " push", sign: onHeader("X-Hub-Signature-256", "sha256=", hexMAC),
		vectors: []string{"github-sha256-docs"},
	}
}

func TestGitHubHeaders(t *testing.T) {
	hub := "sha256=" + hexMAC(body)
	testHeaders(t, provider.GitHub(key), []headerCase{
		{"one", header("X-Hub-Signature-256", hub), accepted},
		{"upper case", header("X-Hub-Signature-256", "sha256="+strings.ToUpper(hub[7:])), accepted},
		{"another prefix", header("X-Hub-Signature-256", "SHA256="+hub[7:]), malformedEarly},
		{"no prefix", header("X-Hub-Signature-256", hub[7:]), malformedEarly},
		{"a list", header("X-Hub-Signature-256", hub+","+hub), malformedEarly},
		{"SHA-1 alone", header("X-Hub-Signature", "sha1=3374ef144403e8035423b23b02e2c9d7a4c50368"), malformedEarly},
		{"nothing", header(), malformedEarly},
	})
}
