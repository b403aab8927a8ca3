package provider_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func sendGridSample() sample {
	return sample{
		name: "sendgrid", vectors: []string{"sendgrid-ecdsa"}, make: provider.SendGrid, secret: privatePEM(ecKey()),
		body:   "[{\"sg_event_id\":\"a\",\"event\":\"open\"},\r\n{\"sg_event_id\":\"b\",\"event\":\"click\"}]\r\n",
		events: "a open\nb click",
		sign: func(body string) map[string]string {
			sum := sha256.Sum256([]byte(seconds + body))
			return map[string]string{
				"X-Twilio-Email-Event-Webhook-Timestamp": seconds,
				"X-Twilio-Email-Event-Webhook-Signature": base64.StdEncoding.EncodeToString(must(ecdsa.SignASN1(rand.Reader, ecKey(), sum[:]))),
			}
		},
	}
}
