package provider_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

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

func TestStripeHeaders(t *testing.T) {
	stripe := func(stamp string) string {
		return "v1=" + hex.EncodeToString(mac(sha256.New, stripeKey, stamp+"."+body))
	}
	testHeaders(t, provider.Stripe(stripeKey), []headerCase{
		{"one", header("Stripe-Signature", "t="+seconds+","+stripe(seconds)), accepted},
		{"in another order", header("Stripe-Signature", "v0=00,"+stripe(seconds)+",t="+seconds), accepted},
		{"two", header("Stripe-Signature", "t="+seconds+","+stripe("1")+","+stripe(seconds)), accepted},
		{"two times", header("Stripe-Signature", "t="+seconds+",t="+seconds+","+stripe(seconds)), malformedEarly},
		{"an empty time", header("Stripe-Signature", "t=,"+stripe("")), malformedEarly},
		{"no time", header("Stripe-Signature", stripe("")), malformedEarly},
		{"only v0", header("Stripe-Signature", "t="+seconds+",v0="+stripe(seconds)[3:]), malformedEarly},
		{"a space", header("Stripe-Signature", "t="+seconds+", "+stripe(seconds)), malformedEarly},
		{"mixed case", header("Stripe-Signature", "t="+seconds+",v1=aB"+stripe(seconds)[5:]), malformedEarly},
		{"odd", header("Stripe-Signature", "t="+seconds+","+stripe(seconds)+"0"), malformedEarly},
	})
}
