package provider_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/provider"
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
