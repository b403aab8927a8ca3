package provider_test

import (
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// The error of a failed verification lists every possible cause, and does not depend on the
// one that it was.
func TestForgedErrorsListAllCauses(t *testing.T) {
	for _, c := range []struct {
		make func(...string) *provider.Provider
		want string
	}{
		{provider.GitHub, "wrong secret, or body modified in transit"},
		{provider.Stripe, "wrong secret, body modified in transit, or clock skew"},
		{provider.StandardWebhooks, "wrong secret, body modified in transit, or clock skew"},
		{provider.Square, "wrong secret, body modified in transit, or Receiver.URL differs from the sender's URL"},
		{provider.HubSpot, "wrong secret, body modified in transit, Receiver.URL differs from the sender's URL, or clock skew"},
		{provider.Mailgun, "wrong secret, or clock skew"},
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
			if !forged(err) || !strings.HasSuffix(err.Error(), "verification failed: "+c.want) {
				t.Errorf("%s %s: got error %v, want %q", p.Name, reason, err, c.want)
			}
		}
	}
}
