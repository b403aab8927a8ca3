package provider_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestSignatureLengths reads signatures of any length, in each encoding and by schemes of
// fixed and of free length.
func TestSignatureLengths(t *testing.T) {
	for _, p := range []*provider.Provider{provider.GitHub(key), provider.Typeform(key), provider.SendGrid(privatePEM(ecKey()))} {
		name := map[string]string{
			"github": "X-Hub-Signature-256", "typeform": "Typeform-Signature", "sendgrid": "X-Twilio-Email-Event-Webhook-Signature",
		}[p.Name]
		prefix := map[string]string{"github": "sha256=", "typeform": "sha256="}[p.Name]
		for n := range 400 {
			for _, padding := range []string{"", "=", "=="} {
				r := &provider.Request{Header: header(name, prefix+strings.Repeat("A", n)+padding), Body: []byte(body), Time: at}
				r.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", seconds)
				if _, err := p.Receive(r); err == nil {
					t.Errorf("%s takes %d bytes", p.Name, n)
				}
			}
		}
	}
}

// TestHex reads texts of two digits, of which encoding/hex takes more: those of mixed case.
func TestHex(t *testing.T) {
	for i := range 1 << 16 {
		text := string([]byte{byte(i >> 8), byte(i)})
		want, err := hex.DecodeString(text)
		mixed := strings.ToLower(text) != text && strings.ToUpper(text) != text
		got, ok := provider.DecodeHex(text)
		if ok != (err == nil && !mixed) || ok && !bytes.Equal(got, want) {
			t.Errorf("%q is %x, %v; want %x, %v, mixed case %v", text, got, ok, want, err, mixed)
		}
	}
	for text, want := range map[string]bool{"": true, "0": false, "0a1": false, "0a1b": true, "0A1b": false, "aA": false, "A0B1": true} {
		if _, ok := provider.DecodeHex(text); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}
