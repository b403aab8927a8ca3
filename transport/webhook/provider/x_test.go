package provider_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func xSample() sample {
	return sample{
		name: "x", make: provider.X, body: `{"for_user_id":"1","tweet_create_events":[{}]}`, events: " tweet_create_events",
		wantID: hashOf(`{"for_user_id":"1","tweet_create_events":[{}]}`), signed: true,
		sign: onHeader("x-twitter-webhooks-signature", "sha256=", b64MAC),
	}
}

// TestChallengeIsNoSignature sends as a delivery what X's challenge has signed for anybody
// who asked.
func TestChallengeIsNoSignature(t *testing.T) {
	p := provider.X(key)
	a, _ := handshake(p, get("crc_token=123"))
	signature := strings.TrimSuffix(strings.TrimPrefix(string(a.Body), `{"response_token":"`), `"}`)
	r := &provider.Request{Method: "POST", Header: header("X-Twitter-Webhooks-Signature", signature), Body: []byte("123"), Time: at}
	if signature != "sha256="+b64MAC("123") {
		t.Fatalf("the challenge is answered with %s", a.Body)
	}
	if _, err := p.Receive(r); !forged(err) {
		t.Error(err)
	}
}
