package provider

import (
	"net/http"
	"time"
)

// Slack takes the Events API, and slash commands and interactions as forms. The URL
// verification is answered once its signature has matched.
// (https://docs.slack.dev/authentication/verifying-requests-from-slack)
func Slack(secrets ...string) *Provider {
	p := &Provider{
		Name: "slack", Deadline: 2500 * time.Millisecond,
		Retry: Retry{
			Waits: []time.Duration{0, time.Minute, 5 * time.Minute},
			Final: func(a Answer) bool { return a.Header.Get("X-Slack-No-Retry") == "1" },
			Count: Source{Header: "X-Slack-Retry-Num"},
		},
		Answers: answer200(),
		Scheme: Signature{
			Header: "X-Slack-Signature", Prefix: "v0=", form: form{others: []string{"xoxb-", "xoxp-", "xapp-"}},
			Timestamp: Timestamp{Header: "X-Slack-Request-Timestamp"}, Signed: "v0:{ts}:{body}",
		},
		ID:        path("event_id"),
		Payload:   Payload{Form: "payload", ID: path("event_id"), Type: path("event.type", "type")},
		Challenge: slackChallenge,
	}
	return p.with(secrets)
}

// Discord takes interactions and webhook events; a secret is the public key of the app in
// hex, or its private key in PEM, with which Sign works. An interaction is answered as
// deferred: what is to be shown is sent to its webhook within 15 minutes. It fails, and is not
// sent again, unless it is settled within the Deadline: for long work, use AckQueued. Discord
// sends wrong signatures to see them refused with 401.
// (https://docs.discord.com/developers/interactions/overview)
func Discord(secrets ...string) *Provider {
	p := &Provider{
		Name: "discord", Deadline: 2500 * time.Millisecond,
		Retry: Retry{ // of webhook events, for up to 10 minutes
			Waits:    []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute},
			Verbatim: true, // nothing says that they are signed anew
		},
		Answers: Answers{Accepted: *discordAck(), Malformed: Answer{Status: http.StatusUnauthorized}},
		Scheme: Signature{
			Algorithm: Ed25519, Header: "X-Signature-Ed25519", Key: Hex,
			Timestamp: Timestamp{Header: "X-Signature-Timestamp", Tolerance: 15 * time.Minute}, Signed: "{ts}{body}",
		},
		ID:        Source{Path: []string{"id"}, orHash: true}, // webhook events have none
		Payload:   Payload{ID: path("id"), Type: path("event.type", "type")},
		Challenge: discordChallenge,
	}
	return p.with(secrets)
}

// Zoom takes event notifications; a secret is the secret token of the app. The validation
// of the endpoint, which is repeated every three days, is answered.
// (https://developers.zoom.us/docs/api/webhooks/)
func Zoom(secrets ...string) *Provider {
	p := &Provider{
		Name: "zoom", Deadline: 2500 * time.Millisecond,
		Retry: Retry{
			Waits:    []time.Duration{5 * time.Minute, 20 * time.Minute, time.Hour},
			Verbatim: true, // nothing says that they are signed anew
		},
		Scheme: Signature{
			Header: "X-Zm-Signature", Prefix: "v0=",
			Timestamp: Timestamp{Header: "X-Zm-Request-Timestamp", Tolerance: 2 * time.Hour}, Signed: "v0:{ts}:{body}",
		},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path("event")},
	}
	p.Challenge = p.zoomChallenge
	return p.with(secrets)
}

// Twilio takes its callbacks; a secret is an auth token, or the secret of a SharedKey: a
// signature may be of HMAC-SHA1 or, as a Webhook Rule sets it, of HMAC-SHA256. The URL of a
// request must be the public one; its port and the name and password of HTTP authentication
// may be part of it at Twilio, and are left out of Webhook.URL or not. The signature of a form
// does not say where a value ends and the next name begins, which is Twilio's own.
// (https://www.twilio.com/docs/usage/security,
// https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys)
func Twilio(secrets ...string) *Provider {
	p := &Provider{
		Name: "twilio", Deadline: 13 * time.Second,
		Retry: Retry{Waits: []time.Duration{0}},
		Answers: Answers{Accepted: Answer{
			Status: http.StatusOK, Header: safeHeader("application/xml"), Body: []byte("<Response/>"),
		}},
		Scheme: Signature{
			Algorithm: HMACSHA1, Header: "X-Twilio-Signature", Encoding: Base64, Signed: "{url}{body}",
			also: []Algorithm{HMACSHA256}, urls: twilioURLs, body: twilioBody,
		},
		ID:      Source{Header: "I-Twilio-Idempotency-Token"},
		Payload: Payload{Type: Source{Form: []string{"EventType", "MessageStatus", "CallStatus", "SmsStatus"}}},
	}
	return p.with(secrets)
}

// SendGrid takes the Event Webhook, many events in each; a secret is the public key as it
// is shown, or its private key in PEM, with which Sign works.
// (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features)
func SendGrid(secrets ...string) *Provider {
	p := &Provider{
		Name:  "sendgrid",
		Retry: Retry{Verbatim: true}, // for a day, and nothing says that they are signed anew
		Scheme: Signature{
			Algorithm: ECDSA, Header: "X-Twilio-Email-Event-Webhook-Signature", Encoding: Base64,
			Timestamp: Timestamp{Header: "X-Twilio-Email-Event-Webhook-Timestamp", Tolerance: day + time.Hour}, Signed: "{ts}{body}",
		},
		Payload: Payload{Items: "@this", ID: path("sg_event_id"), Type: path("event")},
	}
	return p.with(secrets)
}
