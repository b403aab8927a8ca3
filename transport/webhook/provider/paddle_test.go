package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func paddleSample() sample {
	return sample{
		name: "paddle", make: provider.Paddle, body: `{"event_id":"evt_1","event_type":"price.created"}`,
		wantID: "evt_1", signed: true, events: "evt_1 price.created",
		sign: func(body string) map[string]string {
			return map[string]string{"Paddle-Signature": "ts=" + seconds + ";h1=" + hexMAC(seconds+":"+body)}
		},
		vectors: []string{"paddle-h1"},
	}
}
