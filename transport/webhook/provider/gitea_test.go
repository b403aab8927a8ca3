package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func giteaSample() sample {
	return sample{
		name: "gitea", make: provider.Gitea, id: "t1", wantID: "t1",
		header: map[string]string{"X-Gitea-Event": "push", "X-Gitea-Delivery": "t1"},
		body:   `{"ref":"main"}`, events: " push", sign: onHeader("X-Gitea-Signature", "", hexMAC),
	}
}
