package provider

import (
	"slices"
	"time"
)

// Shopify returns the Provider for the webhooks of a Shopify app. A secret is the app's client
// secret. After a rotation, the old secret may sign for up to an hour.
//
// Shopify's Events, a preview, use other headers, such as Shopify-Hmac-Sha256: set Scheme, ID
// and Payload for them.
// (https://shopify.dev/docs/apps/build/webhooks/subscribe/https)
func Shopify(secrets ...string) *Provider {
	p := &Provider{
		Name: "shopify", Deadline: 4 * time.Second,
		Retry:   Retry{Waits: slices.Repeat([]time.Duration{30 * time.Minute}, 8)},
		Scheme:  Signature{Header: "X-Shopify-Hmac-Sha256", Encoding: EncodingBase64, form: secretForm{others: []string{"shpat_", "shpca_", "shppa_"}}},
		ID:      Source{Header: "X-Shopify-Webhook-Id"},
		Payload: Payload{ID: Source{Header: "X-Shopify-Event-Id"}, Type: Source{Header: "X-Shopify-Topic"}},
	}
	return p.with(secrets)
}
