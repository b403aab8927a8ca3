package provider

import (
	"net/http"
	"time"
)

// StandardWebhooks is any sender of Standard Webhooks: OpenAI, Replicate and others. A
// secret is whsec_ and Base64 for the HMAC of v1; whpk_ and Base64 for the public key of
// v1a; whsk_ and Base64 for its private key, with which Sign works. They may be mixed.
// (https://www.standardwebhooks.com)
func StandardWebhooks(secrets ...string) *Provider {
	p := &Provider{
		Name: "standardwebhooks", Deadline: 13 * time.Second,
		Scheme:  standard{names: []string{"Webhook"}},
		ID:      Source{Header: "Webhook-Id"},
		Payload: Payload{Type: Source{Path: []string{"type"}}},
	}
	return p.with(secrets)
}

// GitHub takes deliveries as JSON or as a form, and never the older SHA-1 header. Event
// types are those of X-GitHub-Event; the action is in the payload. GitHub does not repeat
// a delivery by itself, whatever the answer.
// (https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries)
func GitHub(secrets ...string) *Provider {
	p := &Provider{
		Name: "github", Deadline: 9 * time.Second,
		Scheme:  Signature{Header: "X-Hub-Signature-256", Prefix: "sha256="},
		ID:      Source{Header: "X-Github-Delivery"},
		Payload: Payload{Form: "payload", Type: Source{Header: "X-Github-Event"}},
	}
	return p.with(secrets)
}

// Stripe takes events of Stripe; a secret is the whole of whsec_...
// (https://docs.stripe.com/webhooks#verify-manually)
func Stripe(secrets ...string) *Provider {
	id := Source{Path: []string{"id"}}
	p := &Provider{
		Name: "stripe", Deadline: 15 * time.Second,
		Scheme: Signature{
			Header: "Stripe-Signature", Prefix: "v1=", Separator: ",",
			Timestamp: Timestamp{Prefix: "t="}, Signed: "{ts}.{body}",
		},
		ID:      id,
		Payload: Payload{ID: id, Type: Source{Path: []string{"type"}}},
	}
	return p.with(secrets)
}

// Slack takes the Events API, and slash commands and interactions as forms. The URL
// verification is answered once its signature has matched.
// (https://docs.slack.dev/authentication/verifying-requests-from-slack)
func Slack(secrets ...string) *Provider {
	id := Source{Path: []string{"event_id"}}
	p := &Provider{
		Name: "slack", Deadline: 2500 * time.Millisecond,
		Answers: Answers{Accepted: Answer{Status: http.StatusOK}},
		Scheme: Signature{
			Header: "X-Slack-Signature", Prefix: "v0=",
			Timestamp: Timestamp{Header: "X-Slack-Request-Timestamp"}, Signed: "v0:{ts}:{body}",
		},
		ID:        id,
		Payload:   Payload{Form: "payload", ID: id, Type: Source{Path: []string{"event.type", "type"}}},
		Challenge: slackChallenge,
	}
	return p.with(secrets)
}
