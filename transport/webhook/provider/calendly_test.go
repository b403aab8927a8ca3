package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

// Calendly publishes no vector. The sample follows the code in
// developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures.
func calendlySample() sample {
	const body = `{"created_at":"2020-11-23T17:51:19.000000Z","event":"invitee.created","payload":{}}`
	return sample{
		name: "calendly", make: provider.Calendly, body: body, wantID: hashOf(body), signed: true, events: " invitee.created",
		sign: func(body string) map[string]string {
			return map[string]string{"Calendly-Webhook-Signature": "t=" + seconds + ",v1=" + hexMAC(seconds+"."+body)}
		},
	}
}
