package provider

import "time"

// GitHub returns the Provider for GitHub, whose deliveries are JSON or a form. The type of an
// event is X-GitHub-Event; its action is in the payload. The older SHA-1 header is never
// accepted.
//
// GitHub does not repeat a failed delivery. If the consumer refuses one, redeliver it by hand
// or with GitHub's API: it has the same id, and yields an event unless it was acknowledged
// before.
// (https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries)
func GitHub(secrets ...string) *Provider {
	p := &Provider{
		Name: "github", Deadline: 9 * time.Second,
		Retry:   Retry{Waits: never()},
		Scheme:  Signature{Header: "X-Hub-Signature-256", Prefix: "sha256="},
		ID:      Source{Header: "X-Github-Delivery"},
		Payload: Payload{Form: "payload", Type: Source{Header: "X-Github-Event"}},
	}
	return p.with(secrets)
}
