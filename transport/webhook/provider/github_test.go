package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func gitHubSample() sample {
	return sample{
		name: "github", make: provider.GitHub, id: "g1", wantID: "g1",
		header: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "g1"},
		body:   `{"ref":"main"}`, events: " push", sign: onHeader("X-Hub-Signature-256", "sha256=", hexMAC),
		vectors: []string{"github-sha256-docs"},
	}
}
