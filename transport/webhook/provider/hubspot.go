package provider

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

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
			Header: "X-Hubspot-Signature-V3", Encoding: EncodingBase64, form: secretForm{others: []string{"pat-"}},
			Timestamp: Timestamp{Header: "X-Hubspot-Request-Timestamp", Unit: time.Millisecond},
			Signed:    "{method}{url}{body}{ts}",
			urls:      hubSpotURLs,
		},
		ID: hashBut("attemptNumber"),
		Payload: Payload{
			Items: "@this", Type: path("subscriptionType"),
			ID: all("eventId", "subscriptionId", "objectId", "occurredAt"),
		},
	}
	return p.with(secrets)
}

// hubSpotURLs returns the URL unchanged, and with two sets of escapes decoded, because sources
// disagree on which ones HubSpot decodes. Each form needs a valid signature, so trying several
// does not weaken the check.
// (https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation)
func hubSpotURLs(r *Request) []string {
	raw := r.URL
	if !strings.Contains(raw, "%") {
		return []string{raw}
	}
	some := unescape(raw, ":/?@!$'()*,;")
	return slices.Compact([]string{raw, some, unescape(some, "&=+`\"><")})
}

// unescape decodes the percent escapes of the given characters only.
func unescape(s, chars string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if raw, err := hex.DecodeString(s[i+1 : i+3]); err == nil && strings.IndexByte(chars, raw[0]) >= 0 {
				b.WriteByte(raw[0])
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
