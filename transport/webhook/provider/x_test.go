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

func TestXHandshake(t *testing.T) {
	const want = `{"response_token":"sha256=Cytd4Sq+NvEcV3MMrXxWJGJx5A+y/lXzzU2Maartkx8="}`
	testHandshake(t, provider.X("z3ZX4v7mAAUGykl3EcmkqbartmuW8VFOOzCloLx9Q45P0hLrFu"), []handshakeCase{
		{get("crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553"), 200, want},
		{get("crc_token=%7B%22tweet_create_events%22%3A%5B%5D%7D"), 400, ""},
		{get(""), 0, ""},
	})
}

// The handshake signs any token, and must not be of use as the signature of a delivery.
func TestXHandshakeSignsNoDelivery(t *testing.T) {
	p := provider.X(key)
	a, _ := handshake(p, get("crc_token=123"))
	signature := strings.TrimSuffix(strings.TrimPrefix(string(a.Body), `{"response_token":"`), `"}`)
	r := &provider.Request{Method: "POST", Header: header("X-Twitter-Webhooks-Signature", signature), Body: []byte("123"), Time: at}
	if signature != "sha256="+b64MAC("123") {
		t.Fatalf("got the answer %s, want the HMAC of the token", a.Body)
	}
	if _, err := p.Receive(r); !forged(err) {
		t.Errorf("got error %v, want Forged", err)
	}
}
