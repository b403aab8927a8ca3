package provider_test

import (
	"crypto/ed25519"
	"encoding/hex"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func discordSample() sample {
	return sample{
		name: "discord", vectors: []string{"discord-ping"}, make: provider.Discord, secret: privatePEM(edKey),
		body: `{"id":"i1","type":1,"event":{"type":"ENTITLEMENT_CREATE"}}`, wantID: "i1", signed: true, events: "i1 ENTITLEMENT_CREATE",
		sign: func(body string) map[string]string {
			return map[string]string{
				"X-Signature-Timestamp": seconds,
				"X-Signature-Ed25519":   hex.EncodeToString(ed25519.Sign(edKey, []byte(seconds+body))),
			}
		},
	}
}
