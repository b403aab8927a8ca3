package provider_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"testing"

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

func TestDiscordRespond(t *testing.T) {
	testRespond(t, provider.Discord(privatePEM(edKey)), []responseCase{
		{"ping", nil, `{"type":1}`, 200, `{"type":1}`, 0},
		{"ping of webhook events", nil, `{"type":0}`, 204, "", 0},
		{"command", nil, `{"type":2,"id":"1","token":"t"}`, 200, `{"type":5}`, 1},
		{"button", nil, `{"type":3,"id":"1","token":"t"}`, 200, `{"type":6}`, 1},
		{"autocomplete", nil, `{"type":4,"id":"1","token":"t"}`, 200, `{"type":8,"data":{"choices":[]}}`, 1},
		{"unknown", nil, `{"type":77}`, 0, "", 1},
	})
}
