package provider

import (
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Twitch returns the Provider for Twitch EventSub. The verification of a callback is answered.
// The revocation of a subscription is an event of type "revocation".
// (https://dev.twitch.tv/docs/eventsub/handling-webhook-events)
func Twitch(secrets ...string) *Provider {
	p := &Provider{
		Name: "twitch", Deadline: 4 * time.Second,
		Scheme: Signature{
			Header: "Twitch-Eventsub-Message-Signature", Prefix: "sha256=", ID: "Twitch-Eventsub-Message-Id",
			Timestamp: Timestamp{
				Header: "Twitch-Eventsub-Message-Timestamp", Layout: time.RFC3339Nano, Tolerance: 10 * time.Minute,
			},
			Signed: "{id}{ts}{body}",
		},
		Payload: Payload{Type: path("subscription.type")},
		Respond: twitchResponse,
	}
	return p.with(secrets)
}

func twitchResponse(r *Request, d *Delivery) *Answer {
	switch r.Header.Get("Twitch-Eventsub-Message-Type") { // the header is not signed, but the body is
	case "webhook_callback_verification":
		d.Events = nil
		return plain(decode.Field(r.Body, "challenge"), "")
	case "revocation":
		if d.kind() != "" && decode.Field(r.Body, "event") == "" {
			d.Events[0].Type = "revocation"
		}
	}
	return nil
}
