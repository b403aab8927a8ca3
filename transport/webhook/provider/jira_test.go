package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func jiraSample() sample {
	return sample{
		name: "jira", make: provider.Jira, id: "j1", wantID: "j1",
		header: map[string]string{"X-Atlassian-Webhook-Identifier": "j1"},
		body:   `{"timestamp":1525698237764,"webhookEvent":"jira:issue_updated"}`, events: " jira:issue_updated",
		sign:    onHeader("X-Hub-Signature", "sha256=", hexMAC),
		vectors: []string{"jira-sha256"},
	}
}
