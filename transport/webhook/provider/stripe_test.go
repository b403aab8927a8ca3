package provider_test

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func stripeSample() sample {
	return sample{
		name: "stripe", make: provider.Stripe, secret: stripeKey, body: `{"id":"evt_1","type":"charge.failed"}`,
		wantID: "evt_1", signed: true, events: "evt_1 charge.failed",
		sign: func(body string) map[string]string {
			return map[string]string{"Stripe-Signature": "t=" + seconds + ",v1=" + hex.EncodeToString(mac(sha256.New, stripeKey, seconds+"."+body))}
		},
		vectors: []string{"stripe-v1"},
	}
}
