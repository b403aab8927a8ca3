package provider

import (
	"net/http"
	"time"
)

// Slack returns the Provider for Slack's Events API, and for its slash commands and
// interactions, which are forms. The URL verification is answered once its signature has
// matched.
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

// Discord returns the Provider for Discord's interactions and webhook events. A secret is the
// app's public key in hex, or its private key in PEM, with which Sign works.
//
// The answer to an interaction is deferred: post what it should show to its webhook within 15
// minutes. An interaction that is not settled within the Deadline fails and is not repeated,
// so use transport.AckQueued for long work. Discord also sends wrong signatures to test that
// they are refused with 401.
// (https://docs.discord.com/developers/interactions/overview)
func Discord(secrets ...string) *Provider {
	p := &Provider{
		Name: "discord", Deadline: 2500 * time.Millisecond,
		Retry: Retry{ // of webhook events, for up to 10 minutes
			Waits:    []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute},
			Verbatim: true, // a new signature is not documented
		},
		Answers: Answers{Accepted: *discordAck(), Malformed: Answer{Status: http.StatusUnauthorized}},
		Scheme: Signature{
			Algorithm: Ed25519, Header: "X-Signature-Ed25519", Key: Hex,
			Timestamp: Timestamp{Header: "X-Signature-Timestamp", Tolerance: 15 * time.Minute}, Signed: "{ts}{body}",
		},
		ID:        Source{Path: []string{"id"}, orHash: true}, // webhook events have no id
		Payload:   Payload{ID: path("id"), Type: path("event.type", "type")},
		Challenge: discordChallenge,
	}
	return p.with(secrets)
}

// Zoom returns the Provider for Zoom's event notifications. A secret is the app's secret
// token. The validation of the endpoint, which Zoom repeats every three days, is answered.
// (https://developers.zoom.us/docs/api/webhooks/)
func Zoom(secrets ...string) *Provider {
	p := &Provider{
		Name: "zoom", Deadline: 2500 * time.Millisecond,
		Retry: Retry{
			Waits:    []time.Duration{5 * time.Minute, 20 * time.Minute, time.Hour},
			Verbatim: true, // a new signature is not documented
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

// Twilio returns the Provider for Twilio's callbacks. A secret is an auth token, or the secret
// of a SharedKey: a signature may be an HMAC-SHA1 or, as a Webhook Rule sets it, an
// HMAC-SHA256. Request.URL must be the public URL. It may omit the default port and the HTTP
// credentials of the URL that is configured at Twilio.
//
// Twilio signs a form without delimiters: the signature does not show where a value ends and
// the next name begins.
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

// SendGrid returns the Provider for SendGrid's Event Webhook, whose deliveries have many
// events each. A secret is the public key as SendGrid shows it, or its private key in PEM,
// with which Sign works.
// (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features)
func SendGrid(secrets ...string) *Provider {
	p := &Provider{
		Name:  "sendgrid",
		Retry: Retry{Verbatim: true}, // for a day; a new signature is not documented
		Scheme: Signature{
			Algorithm: ECDSA, Header: "X-Twilio-Email-Event-Webhook-Signature", Encoding: Base64,
			Timestamp: Timestamp{Header: "X-Twilio-Email-Event-Webhook-Timestamp", Tolerance: day + time.Hour}, Signed: "{ts}{body}",
		},
		Payload: Payload{Items: "@this", ID: path("sg_event_id"), Type: path("event")},
	}
	return p.with(secrets)
}
