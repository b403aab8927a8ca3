package provider

import (
	"net/http"
	"strings"
	"time"
)

// StandardWebhooks returns the Provider for any sender of Standard Webhooks, such as OpenAI
// and Replicate. A secret is "whsec_" and Base64 for the HMAC of v1, "whpk_" and Base64 for
// the public key of v1a, or "whsk_" and Base64 for its private key, with which Sign works.
// They may be mixed. For a sender that shows a plain text instead, such as Polar, a secret is
// "whsec_" and the Base64 of that text.
// (https://www.standardwebhooks.com)
func StandardWebhooks(secrets ...string) *Provider {
	p := &Provider{
		Name: "standardwebhooks", Deadline: 13 * time.Second,
		Retry: Retry{
			Waits: []time.Duration{
				5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
				10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
			},
			Final: after(http.StatusGone), // disables the endpoint
		},
		Scheme:  standard{names: []string{"Webhook"}},
		Payload: Payload{Type: path("type")},
	}
	return p.with(secrets)
}

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

// Svix returns the Provider for any sender that uses Svix, under either name of its headers.
// The secrets are those of StandardWebhooks.
// (https://docs.svix.com/receiving/verifying-payloads/how-manual)
func Svix(secrets ...string) *Provider {
	p := StandardWebhooks(secrets...)
	p.Name, p.Scheme = "svix", standard{names: []string{"Svix", "Webhook"}}
	return p
}

// GitLab returns the Provider for GitLab, in both of its modes: a secret that begins with
// "whsec_" is a signing token, as for StandardWebhooks; any other is a secret token, which
// does not protect the body. With secrets of both kinds, a signature that does not match is
// refused even if the token matches.
// (https://docs.gitlab.com/user/project/integrations/webhooks/)
func GitLab(secrets ...string) *Provider {
	p := &Provider{
		Name: "gitlab", Deadline: 9 * time.Second,
		Scheme: choice{
			schemes: []Scheme{standard{names: []string{"Webhook"}}, Token{Header: "X-Gitlab-Token"}},
			of:      gitLabSecret,
			strict:  true,
		},
		ID:      Source{Header: "Idempotency-Key"},
		Payload: Payload{Type: Source{Header: "X-Gitlab-Event"}},
	}
	return p.with(secrets)
}

func gitLabSecret(text string) (int, string, error) {
	if strings.HasPrefix(text, "whsec_") {
		return 0, text, nil
	}
	return 1, text, nil
}

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
		Scheme:   Signature{Header: "X-Hub-Signature", Prefix: "sha256="},
		ID:       Source{Header: "X-Request-Uuid"},
		Payload:  Payload{Type: Source{Header: "X-Event-Key"}},
		Greeting: bitbucketGreeting,
	}
	return p.with(secrets)
}

// Gitea returns the Provider for Gitea and Forgejo. They wait five seconds for an answer
// unless configured otherwise.
// (https://docs.gitea.com/usage/webhooks)
func Gitea(secrets ...string) *Provider {
	p := &Provider{
		Name: "gitea", Deadline: 4500 * time.Millisecond,
		Scheme:  Signature{Header: "X-Gitea-Signature"},
		ID:      Source{Header: "X-Gitea-Delivery"},
		Payload: Payload{Form: "payload", Type: Source{Header: "X-Gitea-Event"}},
	}
	return p.with(secrets)
}

// Linear returns the Provider for Linear. The time in the body may be at most a minute off.
// (https://linear.app/developers/webhooks)
func Linear(secrets ...string) *Provider {
	p := &Provider{
		Name: "linear", Deadline: 4500 * time.Millisecond,
		Retry:   Retry{Waits: []time.Duration{time.Minute, time.Hour, 6 * time.Hour}},
		Answers: answer200(),
		Scheme: Signature{
			Header: "Linear-Signature", form: form{others: []string{"lin_api_", "lin_oauth_"}},
			Timestamp: Timestamp{Path: "webhookTimestamp", Unit: time.Millisecond, Tolerance: time.Minute},
		},
		ID:      hashBut("webhookTimestamp"), // which differs for each attempt; Linear-Delivery is not signed
		Payload: Payload{ID: Source{Header: "Linear-Delivery"}, Type: path("type")},
	}
	return p.with(secrets)
}

// PagerDuty returns the Provider for PagerDuty webhooks of version 3.
// (https://developer.pagerduty.com/docs/verifying-webhook-signatures)
func PagerDuty(secrets ...string) *Provider {
	p := &Provider{
		Name:    "pagerduty",
		Scheme:  Signature{Header: "X-Pagerduty-Signature", Prefix: "v1=", Separator: ","},
		ID:      path("event.id"),
		Payload: Payload{ID: path("event.id"), Type: path("event.event_type")},
	}
	return p.with(secrets)
}

// Zendesk returns the Provider for Zendesk. A secret is the signing secret as Zendesk shows
// it.
//
// Zendesk repeats a delivery only after 409, after 429 or 503 with a Retry-After of less than
// a minute, and after no answer. Therefore the answer to one whose signature does not match is
// 503.
// (https://developer.zendesk.com/documentation/webhooks/verifying/,
// https://developer.zendesk.com/api-reference/webhooks/introduction/#webhook-retries)
func Zendesk(secrets ...string) *Provider {
	p := &Provider{
		Name:    "zendesk",
		Answers: Answers{Forged: again()},
		Retry:   Retry{Final: afterAllBut(http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable)},
		Scheme: Signature{
			Header: "X-Zendesk-Webhook-Signature", Encoding: Base64,
			Timestamp: Timestamp{Header: "X-Zendesk-Webhook-Signature-Timestamp", Layout: time.RFC3339},
			Signed:    "{ts}{body}",
		},
		ID:      Source{Header: "X-Zendesk-Webhook-Invocation-Id"},
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	return p.with(secrets)
}

// Typeform returns the Provider for Typeform's form responses. Typeform disables the webhook
// after a 404 or a 410.
// (https://www.typeform.com/developers/webhooks/secure-your-webhooks/)
func Typeform(secrets ...string) *Provider {
	p := &Provider{
		Name:    "typeform",
		Retry:   Retry{Final: after(http.StatusNotFound, http.StatusGone)},
		Scheme:  Signature{Header: "Typeform-Signature", Prefix: "sha256=", Encoding: Base64},
		ID:      path("event_id"),
		Payload: Payload{ID: path("event_id"), Type: path("event_type")},
	}
	return p.with(secrets)
}

// Alertmanager returns the Provider for Prometheus Alertmanager with http_config. A secret
// "name:password" is basic_auth; any other is a bearer token. The body is not protected.
//
// After a 4xx, Alertmanager drops the notification until it sends the group again. Therefore
// the answer to one with missing or wrong credentials is 503.
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)
func Alertmanager(secrets ...string) *Provider {
	p := &Provider{
		Name:    "alertmanager",
		Answers: Answers{Forged: again(), Malformed: again()},
		Retry:   Retry{Final: func(a Answer) bool { return a.Status < 500 }},
		Scheme: choice{
			schemes: []Scheme{Basic{}, Token{Header: "Authorization", Prefix: "Bearer "}},
			of:      alertmanagerSecret,
		},
		Payload: Payload{Type: path("status")},
	}
	return p.with(secrets)
}

// alertmanagerSecret distinguishes name:password from a bearer token, which cannot contain a
// colon (RFC 6750).
func alertmanagerSecret(text string) (int, string, error) {
	if strings.Contains(text, ":") {
		return 0, text, nil
	}
	return 1, text, nil
}

// answer200 is for senders whose documentation asks for 200, not for any 2xx.
func answer200() Answers { return Answers{Accepted: Answer{Status: http.StatusOK}} }

func path(paths ...string) Source { return Source{Path: paths} }
