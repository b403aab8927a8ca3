package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

// Sentry publishes no vector. The sample follows the code in
// docs.sentry.io/integrations/integration-platform/webhooks.
func sentrySample() sample {
	return sample{
		name: "sentry", make: provider.Sentry, id: "s1", wantID: "s1",
		header: map[string]string{"Request-ID": "s1", "Sentry-Hook-Resource": "issue", "Sentry-Hook-Timestamp": seconds},
		body:   `{"action":"created","data":{"issue":{}}}`, events: " issue", sign: onHeader("Sentry-Hook-Signature", "", hexMAC),
	}
}
