package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func shopifySample() sample {
	return sample{
		name: "shopify", make: provider.Shopify, id: "s1", wantID: "s1", body: `{"id":820982911946154508}`,
		header: map[string]string{"X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "s1", "X-Shopify-Event-Id": "e1"},
		events: "e1 orders/create", sign: onHeader("X-Shopify-Hmac-SHA256", "", b64MAC),
	}
}
