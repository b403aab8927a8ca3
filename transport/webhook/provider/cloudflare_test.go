package provider_test

import (
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Cloudflare publishes no vector. The samples follow
// developers.cloudflare.com/notifications/get-started/configure-webhooks and
// developers.cloudflare.com/stream/manage-video-library/using-webhooks.
func cloudflareSamples() []sample {
	const video = `{"uid":"6b9e68b07dfee8cc2d116e4c51d6a957","readyToStream":true,"status":{"state":"ready","pctComplete":"100"}}`
	return []sample{
		{
			name: "cloudflare", make: provider.Cloudflare, proof: transport.ProofBearer, events: " universal_ssl_event_type",
			body: `{"name":"a","text":"b","data":{},"ts":1741064767,"alert_type":"universal_ssl_event_type"}`,
			sign: func(string) map[string]string { return map[string]string{"cf-webhook-auth": key} },
		},
		{
			name: "cloudflarestream", make: provider.CloudflareStream, body: video, wantID: hashOf(video), signed: true, events: " ready",
			sign: func(body string) map[string]string {
				return map[string]string{"Webhook-Signature": "time=" + seconds + ",sig1=" + hexMAC(seconds+"."+body)}
			},
		},
	}
}
