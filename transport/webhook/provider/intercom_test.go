package provider_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func hexSHA1(text string) string { return hex.EncodeToString(mac(sha1.New, key, text)) }

func b64SHA1(text string) string { return base64.StdEncoding.EncodeToString(mac(sha1.New, key, text)) }

// Intercom publishes no vector. The sample follows developers.intercom.com/docs/webhooks.
func intercomSample() sample {
	return sample{
		name: "intercom", make: provider.Intercom, wantID: "notif_1", signed: true, events: "notif_1 conversation.user.created",
		body: `{"type":"notification_event","id":"notif_1","topic":"conversation.user.created","delivery_attempts":1}`,
		sign: onHeader("X-Hub-Signature", "sha1=", hexSHA1),
	}
}

// testHEAD tests a provider that answers a HEAD request, and no other unsigned one.
func testHEAD(t *testing.T, p *provider.Provider) {
	t.Helper()
	head, post := get(""), get("")
	head.Method, post.Method = "HEAD", "POST"
	testHandshake(t, p, []handshakeCase{{head, 200, ""}, {get(""), 0, ""}, {post, 0, ""}})
}

func TestIntercomHEAD(t *testing.T) { testHEAD(t, provider.Intercom(key)) }
