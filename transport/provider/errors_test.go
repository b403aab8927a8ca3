package provider_test

import (
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// TestDoubts reads what is said of a proof that does not match: all that can be the reason,
// and the same whichever it is.
func TestDoubts(t *testing.T) {
	for _, c := range []struct {
		make func(...string) *provider.Provider
		want string
	}{
		{provider.GitHub, "wrong secret, or body changed on its way"},
		{provider.Stripe, "wrong secret, body changed on its way, or clock off"},
		{provider.StandardWebhooks, "wrong secret, body changed on its way, or clock off"},
		{provider.Square, "wrong secret, body changed on its way, or Webhook.URL not as the sender has it"},
		{provider.HubSpot, "wrong secret, body changed on its way, Webhook.URL not as the sender has it, or clock off"},
		{provider.Mailgun, "wrong secret, or clock off"},
	} {
		for reason, change := range map[string]func(*provider.Request){
			"body":   func(r *provider.Request) { r.Body = append(r.Body, ' ') },
			"URL":    func(r *provider.Request) { r.URL += "2" },
			"clock":  func(r *provider.Request) { r.Time = at.Add(25 * time.Hour) },
			"secret": func(*provider.Request) {},
		} {
			if !strings.Contains(c.want, reason) {
				continue
			}
			key, other := key, "b3RoZXI="
			if p := c.make(key); p.Name == "stripe" || p.Name == "standardwebhooks" {
				key, other = "whsec_"+key, "whsec_"+other
			}
			p := c.make(key)
			r := &provider.Request{Method: "POST", URL: "https://a.example/", Header: header(), Body: []byte(`{}`), Time: at}
			if reason == "secret" {
				p = c.make(other)
			}
			if err := c.make(key).Sign(r, "id"); err != nil {
				t.Fatal(err)
			}
			change(r)
			_, err := p.Receive(r)
			if !forged(err) || !strings.HasSuffix(err.Error(), "the proof of the sender does not match: "+c.want) {
				t.Errorf("%s: %v", reason, err)
			}
		}
	}
}
