package provider

import "time"

// LINE returns the Provider for the Messaging API of LINE. A secret is the channel secret. The
// request with which the console tests a URL has no events.
//
// LINE repeats deliveries only if webhook redelivery is enabled, with another body, in which
// each event has the same id and reports that it was delivered before.
// (https://developers.line.biz/en/docs/messaging-api/receiving-messages/,
// https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/)
func LINE(secrets ...string) *Provider {
	p := &Provider{
		Name: "line", Deadline: 1500 * time.Millisecond,
		Answers: answer200(),
		Scheme:  Signature{Header: "X-Line-Signature", Encoding: EncodingBase64},
		ID:      path("events.#.webhookEventId"),
		Payload: Payload{Items: "events", ID: path("webhookEventId"), Type: path("type"), Unique: true},
	}
	return p.with(secrets)
}
