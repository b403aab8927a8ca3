package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// outcome is what becomes of a request, and at which step.
type outcome string

const (
	accepted       outcome = "accepted"
	malformedEarly outcome = "malformed for Precheck"
	forgedEarly    outcome = "forged for Precheck"
	malformedLate  outcome = "malformed for Receive"
	forgedLate     outcome = "forged for Receive"
)

type headerCase struct {
	name   string
	header http.Header
	want   outcome
}

// testHeaders receives headers as the sender would send them, and others. A header that is
// wrong whatever the body is must be refused before the body is read.
func testHeaders(t *testing.T, p *provider.Provider, cases []headerCase) {
	t.Helper()
	for _, c := range cases {
		r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: c.header, Body: []byte(body), Time: at}
		precheck := p.Precheck(r)
		_, err := p.Receive(r)
		got := accepted
		switch {
		case precheck != nil && forged(precheck):
			got = forgedEarly
		case precheck != nil:
			got = malformedEarly
		case err != nil && forged(err):
			got = forgedLate
		case err != nil:
			got = malformedLate
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s: %v, %v", c.name, got, c.want, precheck, err)
		}
		if precheck != nil && err == nil {
			t.Errorf("%s: got a Delivery, want an error as from Precheck: %v", c.name, precheck)
		}
	}
}

// Signatures of any length are refused, in each encoding, whether the scheme has a fixed length
// or not.
func TestSignaturesOfAnyLength(t *testing.T) {
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
					t.Errorf("%s: signature of %d characters: got no error, want one", p.Name, n)
				}
			}
		}
	}
}
