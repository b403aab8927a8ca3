package provider

import (
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Slack returns the Provider for Slack's Events API, and for its slash commands and
// interactions, which are forms. The URL verification is answered once its signature has
// matched.
//
// The event of an interaction is the JSON in the field payload, and its Type is that of the
// interaction, such as view_submission. The event of a slash command is the form. Neither has an
// id, so a repetition is not recognized as a duplicate.
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
			Header: "X-Slack-Signature", Prefix: "v0=", form: secretForm{others: []string{"xoxb-", "xoxp-", "xapp-"}},
			Timestamp: Timestamp{Header: "X-Slack-Request-Timestamp"}, Signed: "v0:{ts}:{body}",
		},
		ID:      path("event_id"),
		Payload: Payload{Form: "payload", ID: path("event_id"), Type: path("event.type", "type")},
		Respond: slackResponse,
	}
	return p.with(secrets)
}

func slackResponse(_ *Request, d *Delivery) *Answer {
	if d.kind() != "url_verification" {
		return nil
	}
	data := d.Events[0].Data
	d.Events = nil
	return plain(decode.Field(data, "challenge"), "")
}
