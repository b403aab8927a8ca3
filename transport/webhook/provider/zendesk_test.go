package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func zendeskSample() sample {
	return sample{
		name: "zendesk", make: provider.Zendesk, id: "z1", wantID: "z1", header: map[string]string{"X-Zendesk-Webhook-Invocation-Id": "z1"},
		body: `{"id":"n1","type":"zen:event-type:user.created"}`, events: "n1 zen:event-type:user.created",
		sign: func(body string) map[string]string {
			return map[string]string{"X-Zendesk-Webhook-Signature-Timestamp": rfc3339, "X-Zendesk-Webhook-Signature": b64MAC(rfc3339 + body)}
		},
	}
}
