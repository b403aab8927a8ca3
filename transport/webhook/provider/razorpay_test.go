package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func razorpaySample() sample {
	return sample{
		name: "razorpay", make: provider.Razorpay, id: "r1", wantID: "r1",
		header: map[string]string{"X-Razorpay-Event-Id": "r1"},
		body:   `{"entity":"event","event":"payment.captured"}`, events: "r1 payment.captured",
		sign:    onHeader("X-Razorpay-Signature", "", hexMAC),
		vectors: []string{"razorpay-payment"},
	}
}
