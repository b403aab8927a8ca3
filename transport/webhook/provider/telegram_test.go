package provider_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Telegram documents a token and no signature. The body is that of its documentation.
func telegramSample() sample {
	return sample{
		name: "telegram", make: provider.Telegram, proof: transport.ProofBearer,
		body:   `{"update_id":10000,"message":{"date":1441645532,"message_id":1365,"text":"/start"}}`,
		wantID: "10000", events: "10000 message",
		sign: func(string) map[string]string { return map[string]string{"X-Telegram-Bot-Api-Secret-Token": key} },
	}
}

func TestTelegramTypes(t *testing.T) {
	p := provider.Telegram(key)
	for body, want := range map[string]string{
		`{"callback_query":{"id":"1"},"update_id":1}`: "1 callback_query",
		`{"update_id":2}`: "2 ",
	} {
		r := &provider.Request{Method: "POST", Header: header("X-Telegram-Bot-Api-Secret-Token", key), Body: []byte(body), Time: at}
		d, err := p.Receive(r)
		if err != nil || describe(d.Events) != want {
			t.Errorf("%s: got %+v and error %v, want %q", body, d, err, want)
		}
	}
}

// The token of a bot is refused: it is not what Telegram sends.
func TestTelegramSecrets(t *testing.T) {
	for secret, ok := range map[string]bool{
		"A-z_0": true, strings.Repeat("a", 256): true, strings.Repeat("a", 257): false,
		"123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11": false, "secret token": false, "sécret": false,
	} {
		err := provider.Telegram(secret).Validate()
		if (err == nil) != ok || err != nil && (strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "secret_token")) {
			t.Errorf("a secret of %d bytes: got error %v, want success %t", len(secret), err, ok)
		}
	}
}
