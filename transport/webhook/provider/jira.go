package provider

import (
	"net/http"
	"slices"
	"time"
)

// Jira returns the Provider for webhooks of Jira Cloud that have a secret.
//
// Jira repeats a delivery up to five times, after 5 to 15 minutes, and only after 408, 409, 425,
// 429, a 5xx or no answer. Therefore the answer to one whose signature does not match is 503.
// (https://developer.atlassian.com/cloud/jira/platform/webhooks/)
func Jira(secrets ...string) *Provider {
	p := &Provider{
		Name: "jira", Deadline: 18 * time.Second,
		Answers: Answers{Forged: unavailable(), Malformed: unavailable()},
		Retry: Retry{
			Waits: slices.Repeat([]time.Duration{10 * time.Minute}, 5),
			Final: jiraFinal,
			Count: Source{Header: "X-Atlassian-Webhook-Retry"},
		},
		Scheme: Signature{
			Header: "X-Hub-Signature", Prefix: "sha256=", form: secretForm{others: []string{"ATATT"}},
		},
		ID:      Source{Header: "X-Atlassian-Webhook-Identifier"},
		Payload: Payload{Type: path("webhookEvent")},
	}
	return p.with(secrets)
}

func jiraFinal(a Answer) bool {
	switch a.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return a.Status < 500
}
