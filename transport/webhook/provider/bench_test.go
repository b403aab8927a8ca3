package provider_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func BenchmarkReceive(b *testing.B) {
	bare := provider.StandardWebhooks("whsec_" + key)
	bare.Payload = provider.Payload{}
	providers := map[string]*provider.Provider{
		"standardwebhooks without type": bare,
		"github":                        provider.GitHub(key), "standardwebhooks": provider.StandardWebhooks("whsec_" + key),
		"stripe": provider.Stripe(stripeKey), "slack": provider.Slack(key), "discord": provider.Discord(privatePEM(edKey)),
	}
	for name, p := range providers {
		b.Run(name, func(b *testing.B) {
			r := signed(b, p)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Receive(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("bare HMAC", func(b *testing.B) {
		r := signed(b, provider.GitHub(key))
		h := hmac.New(sha256.New, []byte(key))
		var sum [32]byte
		b.ReportAllocs()
		for b.Loop() {
			h.Reset()
			h.Write(r.Body)
			h.Sum(sum[:0])
		}
	})
}
