package provider

import "time"

// SendGrid returns the Provider for SendGrid's Event Webhook, whose deliveries have many
// events each. A secret is the public key as SendGrid shows it, or its private key in PEM,
// with which Sign works.
// (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features)
func SendGrid(secrets ...string) *Provider {
	p := &Provider{
		Name:  "sendgrid",
		Retry: Retry{Verbatim: true}, // for a day; a new signature is not documented
		Scheme: Signature{
			Algorithm: ECDSA, Header: "X-Twilio-Email-Event-Webhook-Signature", Encoding: EncodingBase64,
			Timestamp: Timestamp{Header: "X-Twilio-Email-Event-Webhook-Timestamp", Tolerance: day + time.Hour}, Signed: "{ts}{body}",
		},
		Payload: Payload{Items: "@this", ID: path("sg_event_id"), Type: path("event"), Unique: true},
	}
	return p.with(secrets)
}
