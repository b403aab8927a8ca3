package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

// Vercel publishes no vector. The sample follows the code in vercel.com/docs/webhooks/webhooks-api.
func vercelSample() sample {
	return sample{
		name: "vercel", make: provider.Vercel, wantID: "uev_1", signed: true, events: "uev_1 deployment.created",
		body: `{"id":"uev_1","type":"deployment.created","createdAt":1741064767000,"payload":{}}`, sign: onHeader("X-Vercel-Signature", "", hexSHA1),
	}
}
