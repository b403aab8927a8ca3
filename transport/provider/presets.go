package provider

import (
	"net/http"
	"strings"
	"time"
)

// StandardWebhooks is any sender of Standard Webhooks: OpenAI, Replicate and others. A
// secret is whsec_ and Base64 for the HMAC of v1; whpk_ and Base64 for the public key of
// v1a; whsk_ and Base64 for its private key, with which Sign works. They may be mixed. A
// sender that shows a plain text instead, such as Polar, means whsec_ and the Base64 of that.
// (https://www.standardwebhooks.com)
func StandardWebhooks(secrets ...string) *Provider {
	p := &Provider{
		Name: "standardwebhooks", Deadline: 13 * time.Second,
		Retry: Retry{
			Waits: []time.Duration{
				5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
				10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
			},
			Final: after(http.StatusGone), // which disables the endpoint
		},
		Scheme:  standard{names: []string{"Webhook"}},
		Payload: Payload{Type: path("type")},
	}
	return p.with(secrets)
}

// GitHub takes deliveries as JSON or as a form, and never the older SHA-1 header. Event
// types are those of X-GitHub-Event; the action is in the payload. GitHub does not repeat
// a delivery by itself, whatever the answer: what the consumer refuses has to be redelivered
// by hand, or with GitHub's API. It then is the same delivery, and brings an event unless it
// was acknowledged before.
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

// Svix takes what is sent with Svix, under either name of its headers. Secrets are as
// those of StandardWebhooks. (https://docs.svix.com/receiving/verifying-payloads/how-manual)
func Svix(secrets ...string) *Provider {
	p := StandardWebhooks(secrets...)
	p.Name, p.Scheme = "svix", standard{names: []string{"Svix", "Webhook"}}
	return p
}

// GitLab takes both of its modes: a secret that begins with whsec_ is a signing token, as
// of StandardWebhooks, and any other a secret token, which leaves the body unprotected. A
// request with a signature needs one that matches, whatever its token is.
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

// Bitbucket takes Bitbucket Cloud. Bitbucket Data Center signs alike, and its unsigned
// ping is answered; it has the id in X-Request-Id. Bitbucket Cloud repeats a delivery twice
// and at once, and only after a 5xx or no answer: what was refused for longer than that does
// not come again.
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

// Gitea takes Gitea and Forgejo, which wait for five seconds unless they are set otherwise.
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

// Linear takes deliveries whose own time, which is in the body, is at most a minute off.
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
		ID:      hashBut("webhookTimestamp"), // which is of the attempt, and Linear-Delivery is not signed
		Payload: Payload{ID: Source{Header: "Linear-Delivery"}, Type: path("type")},
	}
	return p.with(secrets)
}

// PagerDuty takes webhooks of version 3.
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

// Zendesk takes its webhooks; a secret is the signing secret as it is shown. Zendesk repeats a
// delivery only after 409, after 429 or 503 with a Retry-After of less than a minute, and after
// no answer at all: one whose signature does not match is therefore answered 503.
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

// Typeform takes form responses. After a 404 or a 410 it disables the webhook.
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

// Alertmanager takes what Prometheus Alertmanager posts with http_config: a secret
// "name:password" is basic_auth, any other a bearer token. The body is not protected. After a
// 4xx, Alertmanager drops the notification until it sends the group again, so one that does
// not log in is answered 503.
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

// alertmanagerSecret tells a login from a token, in which RFC 6750 allows no colon.
func alertmanagerSecret(text string) (int, string, error) {
	if strings.Contains(text, ":") {
		return 0, text, nil
	}
	return 1, text, nil
}

// answer200 is for senders whose documentation asks for 200, and not for any 2xx.
func answer200() Answers { return Answers{Accepted: Answer{Status: http.StatusOK}} }

func path(paths ...string) Source { return Source{Path: paths} }
