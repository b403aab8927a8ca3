package provider

import "time"

// Xero returns the Provider for Xero. A secret is the webhooks key as Xero shows it. The type of
// an event is its category and what happened, such as "INVOICE:UPDATE".
//
// For its "intent to receive", Xero sends several requests without events, some with a wrong
// signature. These must be answered with 401: do not change Answers.Forged. Xero repeats a
// delivery for a day and then disables the webhook.
// (https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/)
func Xero(secrets ...string) *Provider {
	p := &Provider{
		Name: "xero", Deadline: 4500 * time.Millisecond,
		Answers: answer200(),
		Scheme:  Signature{Header: "X-Xero-Signature", Encoding: EncodingBase64},
		ID:      all("firstEventSequence", "lastEventSequence"),
		Payload: Payload{
			Items: "events",
			ID:    all("resourceId", "eventType", "eventDateUtc"), Type: all("eventCategory", "eventType"),
		},
	}
	return p.with(secrets)
}
