package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func squareSample() sample {
	return sample{
		name: "square", make: provider.Square, url: "https://example.com/square", body: `{"event_id":"q1","type":"payment.created"}`,
		wantID: "q1", signed: true, events: "q1 payment.created",
		sign: func(body string) map[string]string {
			return map[string]string{"x-square-hmacsha256-signature": b64MAC("https://example.com/square" + body)}
		},
		vectors: []string{"square-url-body"},
	}
}
