package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

// Lemon Squeezy publishes no vector. The sample follows the code in
// docs.lemonsqueezy.com/help/webhooks/signing-requests.
func lemonSqueezySample() sample {
	const body = `{"meta":{"event_name":"order_created"},"data":{"type":"orders","id":"1","attributes":{"url":"https:\/\/a"}}}`
	return sample{
		name: "lemonsqueezy", make: provider.LemonSqueezy, body: body, wantID: hashOf(body), signed: true,
		header: map[string]string{"X-Event-Name": "order_created"},
		events: " order_created", sign: onHeader("X-Signature", "", hexMAC),
	}
}
