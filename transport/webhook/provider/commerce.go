package provider

import (
	"slices"
	"time"
)

// Stripe returns the Provider for Stripe. A secret is the whole text, including "whsec_".
// (https://docs.stripe.com/webhooks#verify-manually)
func Stripe(secrets ...string) *Provider {
	p := &Provider{
		Name: "stripe", Deadline: 15 * time.Second,
		Scheme: Signature{
			Header: "Stripe-Signature", Prefix: "v1=", Separator: ",", form: form{prefix: "whsec_"},
			Timestamp: Timestamp{Prefix: "t="}, Signed: "{ts}.{body}",
		},
		ID:      path("id"),
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	return p.with(secrets)
}

// Paddle returns the Provider for notifications of Paddle Billing.
// (https://developer.paddle.com/webhooks/signature-verification)
func Paddle(secrets ...string) *Provider {
	p := &Provider{
		Name: "paddle", Deadline: 4500 * time.Millisecond,
		Answers: answer200(),
		Scheme: Signature{
			Header: "Paddle-Signature", Prefix: "h1=", Separator: ";", form: form{others: []string{"pdl_live_apikey_", "pdl_sdbx_apikey_"}},
			Timestamp: Timestamp{Prefix: "ts="}, Signed: "{ts}:{body}",
		},
		ID:      path("event_id"),
		Payload: Payload{ID: path("event_id"), Type: path("event_type")},
	}
	return p.with(secrets)
}

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
		Scheme:  Signature{Header: "X-Shopify-Hmac-Sha256", Encoding: Base64, form: form{others: []string{"shpat_", "shpca_", "shppa_"}}},
		ID:      Source{Header: "X-Shopify-Webhook-Id"},
		Payload: Payload{ID: Source{Header: "X-Shopify-Event-Id"}, Type: Source{Header: "X-Shopify-Topic"}},
	}
	return p.with(secrets)
}

// Square returns the Provider for Square. Request.URL must be the notification URL that is
// configured at Square.
// (https://developer.squareup.com/docs/webhooks/step3validate)
func Square(secrets ...string) *Provider {
	p := &Provider{
		Name: "square", Deadline: 9 * time.Second,
		Retry:   Retry{Count: Source{Header: "Square-Retry-Number"}},
		Scheme:  Signature{Header: "X-Square-Hmacsha256-Signature", Encoding: Base64, Signed: "{url}{body}"},
		ID:      path("event_id"),
		Payload: Payload{ID: path("event_id"), Type: path("type")},
	}
	return p.with(secrets)
}

// HubSpot returns the Provider for HubSpot requests with a signature of version 3, which have
// up to 100 events each. A secret is the app's client secret. Request.URL must be the public
// URL.
//
// HubSpot does not guarantee that an eventId is unique. Therefore the ID of an event is its
// eventId, subscriptionId, objectId and occurredAt, joined with colons.
// (https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation,
// https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide)
func HubSpot(secrets ...string) *Provider {
	p := &Provider{
		Name: "hubspot", Deadline: 4500 * time.Millisecond,
		Retry: Retry{Count: path("0.attemptNumber")},
		Scheme: Signature{
			Header: "X-Hubspot-Signature-V3", Encoding: Base64, form: form{others: []string{"pat-"}},
			Timestamp: Timestamp{Header: "X-Hubspot-Request-Timestamp", Unit: time.Millisecond},
			Signed:    "{method}{url}{body}{ts}",
			urls:      hubSpotURLs,
		},
		ID: hashBut("attemptNumber"),
		Payload: Payload{
			Items: "@this", Type: path("subscriptionType"),
			ID: Source{Path: []string{"eventId", "subscriptionId", "objectId", "occurredAt"}, joined: true},
		},
	}
	return p.with(secrets)
}
