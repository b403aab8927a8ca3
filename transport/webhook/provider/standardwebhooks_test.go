package provider_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func standardWebhooksSamples() []sample {
	return []sample{
		{
			name: "standardwebhooks", make: provider.StandardWebhooks, secret: "whsec_" + key, id: "msg_1",
			body: `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
			sign: func(body string) map[string]string {
				return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": "v1," + standardMAC("msg_1."+seconds+"."+body)}
			},
			vectors: []string{"standardwebhooks-v1", "standardwebhooks-v1a"},
		},
		{
			name: "standardwebhooks v1a", make: provider.StandardWebhooks, id: "msg_1",
			secret: "whsk_" + base64.StdEncoding.EncodeToString(edKey.Seed()),
			body:   `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
			sign: func(body string) map[string]string {
				sum := ed25519.Sign(edKey, []byte("msg_1."+seconds+"."+body))
				return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": "v1a," + base64.StdEncoding.EncodeToString(sum)}
			},
		},
	}
}

// standardMAC is the HMAC with the key behind whsec_.
func standardMAC(text string) string {
	raw, _ := base64.StdEncoding.DecodeString(key)
	return base64.StdEncoding.EncodeToString(mac(sha256.New, string(raw), text))
}

// TestSignID holds that Sign makes nothing that Receive would refuse.
func TestSignID(t *testing.T) {
	for _, id := range []string{"", "a.b"} {
		if provider.StandardWebhooks("whsec_"+key).Sign(&provider.Request{}, id) == nil {
			t.Errorf("signed with the id %q", id)
		}
	}
}
