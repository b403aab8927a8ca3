package provider

import (
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Discord returns the Provider for Discord's interactions and webhook events. A secret is the
// app's public key in hex, or its private key in PEM, with which Sign works.
//
// The answer to an interaction is deferred: post what it should show to its webhook within 15
// minutes. An interaction that is not settled within the Deadline fails and is not repeated,
// so use webhook.AckOnEnqueue for long work. Discord also sends wrong signatures to test that
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
			Algorithm: Ed25519, Header: "X-Signature-Ed25519", Key: EncodingHex,
			Timestamp: Timestamp{Header: "X-Signature-Timestamp", Tolerance: 15 * time.Minute}, Signed: "{ts}{body}",
		},
		ID:      Source{Path: []string{"id"}, orHash: true}, // webhook events have no id
		Payload: Payload{ID: path("id"), Type: path("event.type", "type")},
		Respond: discordResponse,
	}
	return p.with(secrets)
}

// discordAck returns a 204 with a Content-Type, which Discord requires.
// (https://docs.discord.com/developers/events/webhook-events)
func discordAck() *Answer {
	return &Answer{Status: http.StatusNoContent, Header: safeHeader("application/json")}
}

// discordResponse answers pings and defers interactions. A webhook event has a member
// "event", an interaction does not.
func discordResponse(r *Request, d *Delivery) *Answer {
	field := decode.Fields(r.Body)
	if field("event") != "" {
		return nil
	}
	switch kind := field("type"); {
	case kind == "0": // PING of webhook events
		d.Events = nil
		return discordAck()
	case kind == "1": // PING of interactions
		d.Events = nil
		return jsonAnswer(`{"type":1}`)
	case field("token") == "":
		return nil
	case kind == "3": // MESSAGE_COMPONENT: leave the message unchanged
		return jsonAnswer(`{"type":6}`)
	case kind == "4": // APPLICATION_COMMAND_AUTOCOMPLETE: no suggestions
		return jsonAnswer(`{"type":8,"data":{"choices":[]}}`)
	}
	return jsonAnswer(`{"type":5}`)
}
