package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Validate reports every mistake, and no secret.
func TestValidate(t *testing.T) {
	p521 := privatePEM(must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)))
	with := func(s provider.Scheme) *provider.Provider {
		p := provider.GitHub("hush-hush")
		p.Scheme = s
		return p
	}
	signature := func(change func(*provider.Signature)) *provider.Provider {
		s := provider.Signature{Header: "S"}
		change(&s)
		return with(s)
	}
	for _, c := range []struct {
		p    *provider.Provider
		want string // "" if nothing is wrong
	}{
		{with(provider.Signature{Header: "S"}), ""},
		{&provider.Provider{}, "provider: Name is empty\nprovider: Scheme is nil"},
		{&provider.Provider{Name: "x", Scheme: provider.Unsigned{}}, ""},
		{&provider.Provider{Name: "x", Scheme: provider.Unsigned{}, Deadline: -1}, "provider: x: negative Deadline: -1ns"},
		{&provider.Provider{Name: "x", Scheme: provider.Unsigned{}, Answers: provider.Answers{Accepted: provider.Answer{Status: 302}}}, "provider: x: Answers: Accepted, Queued and Duplicate need a 2xx status"},
		{provider.GitHub(), "provider: github: no secret: use SetSecrets, or the Unsigned scheme to verify nothing"},
		{provider.GitHub("hush-hush", ""), "provider: github: secret 1 is empty"},
		{provider.GitHub("abc", "hush-hush\n"), "provider: github: secret 0 is shorter than 4 bytes\nprovider: github: secret 1 begins or ends with white space"},
		{provider.StandardWebhooks("hush-hush"), "provider: standardwebhooks: secret 0 does not begin with \"whsec_\", \"whpk_\" or \"whsk_\": write \"whsec_\" and the Base64 of the key"},
		{provider.StandardWebhooks("0123456789abcdefghijklmnopqrstuv"), "provider: standardwebhooks: secret 0 does not begin with \"whsec_\", \"whpk_\" or \"whsk_\": write \"whsec_\" and the Base64 of the key"}, // Base64 or not
		{provider.Svix("polar_whs_0123456789abcdefghijklmnop"), "provider: svix: secret 0 does not begin with \"whsec_\", \"whpk_\" or \"whsk_\": write \"whsec_\" and the Base64 of the key"},
		{provider.StandardWebhooks("v1,whsec_" + key), ""},
		{provider.StandardWebhooks("whsec_hush-hush"), "provider: standardwebhooks: secret 0 is not valid Base64, which the scheme requires"},
		{provider.GitLab("whsec_hush-hush"), "provider: gitlab: secret 0 is not valid Base64, which the scheme requires"},
		{provider.Stripe("hush-hush"), `provider: stripe: secret 0 does not begin with "whsec_", the prefix of this sender's signing secrets`},
		{provider.Stripe(stripeKey, "sk_live_hush-hush"), `provider: stripe: secret 1 does not begin with "whsec_", the prefix of this sender's signing secrets`},
		{provider.Paddle("pdl_live_apikey_hush"), `provider: paddle: secret 0 begins with "pdl_live_apikey_", which marks another credential of this sender: use the signing secret`},
		{provider.Slack("xoxb-hush-hush"), `provider: slack: secret 0 begins with "xoxb-", which marks another credential of this sender: use the signing secret`},
		{provider.Shopify("shpat_hush-hush"), `provider: shopify: secret 0 begins with "shpat_", which marks another credential of this sender: use the signing secret`},
		{provider.HubSpot("pat-na1-hush"), `provider: hubspot: secret 0 begins with "pat-", which marks another credential of this sender: use the signing secret`},
		{provider.Linear("lin_api_hush"), `provider: linear: secret 0 begins with "lin_api_", which marks another credential of this sender: use the signing secret`},
		{provider.Asana(nil, "1/hush-hush"), `provider: asana: secret 0 begins with "1/", which marks another credential of this sender: use the signing secret`},
		{provider.Buildkite("bkua_hush"), `provider: buildkite: secret 0 begins with "bkua_", which marks another credential of this sender: use the signing secret`},
		{provider.Calendly("eyJhush"), `provider: calendly: secret 0 begins with "eyJ", which marks another credential of this sender: use the signing secret`},
		{provider.CircleCI("CCIPAT_hush"), `provider: circleci: secret 0 begins with "CCIPAT_", which marks another credential of this sender: use the signing secret`},
		{provider.Figma("figd_hush"), `provider: figma: secret 0 begins with "figd_", which marks another credential of this sender: use the signing secret`},
		{provider.Jira("ATATThush"), `provider: jira: secret 0 begins with "ATATT", which marks another credential of this sender: use the signing secret`},
		{provider.LemonSqueezy("eyJhush"), `provider: lemonsqueezy: secret 0 begins with "eyJ", which marks another credential of this sender: use the signing secret`},
		{provider.Mandrill("md-hush"), `provider: mandrill: secret 0 begins with "md-", which marks another credential of this sender: use the signing secret`},
		{provider.Notion(nil, "ntn_hush"), `provider: notion: secret 0 begins with "ntn_", which marks another credential of this sender: use the signing secret`},
		{provider.Razorpay("rzp_live_hush"), `provider: razorpay: secret 0 begins with "rzp_live_", which marks another credential of this sender: use the signing secret`},
		{provider.Sentry("sntrys_hush"), `provider: sentry: secret 0 begins with "sntrys_", which marks another credential of this sender: use the signing secret`},
		{provider.Trello("ATTAhush"), `provider: trello: secret 0 begins with "ATTA", which marks another credential of this sender: use the signing secret`},
		{provider.WooCommerce("ck_hush"), `provider: woocommerce: secret 0 begins with "ck_", which marks another credential of this sender: use the signing secret`},
		{provider.Telegram("123456:hush"), "provider: telegram: secret 0 is not 1 to 256 of A-Z, a-z, 0-9, _ and -: use the secret_token of setWebhook, not the token of the bot"},
		{provider.Clerk("sk_test_hush"), "provider: clerk: secret 0 does not begin with \"whsec_\", \"whpk_\" or \"whsk_\": write \"whsec_\" and the Base64 of the key"},
		{provider.Resend("re_hush-hush"), "provider: resend: secret 0 does not begin with \"whsec_\", \"whpk_\" or \"whsk_\": write \"whsec_\" and the Base64 of the key"},
		{provider.Clerk("v1,whsec_" + key), ""},
		{provider.Notion(nil), "provider: notion: no secret: use SetSecrets, or the Unsigned scheme to verify nothing"},
		{provider.Asana(nil), "provider: asana: no secret: use SetSecrets, or the Unsigned scheme to verify nothing"},
		{provider.Asana(func(string) bool { return false }, "abc"), "provider: asana: secret 0 is shorter than 4 bytes"},
		{provider.Box(), "provider: box: no secret: use SetSecrets, or the Unsigned scheme to verify nothing"},
		{provider.Trello(""), "provider: trello: secret 0 is empty"},
		{provider.Adyen("c0ffee00"), "provider: adyen: secret 0 is a key of 4 bytes, want 32"},
		{provider.CloudEvents(nil, "bearer hush-hush"), `provider: cloudevents: secret 0 begins with "Bearer ", which Token.Prefix already adds`},
		{provider.StandardWebhooks("whsec_"), "provider: standardwebhooks: secret 0 is empty"},
		{provider.StandardWebhooks("whsec_"+key, "whpk_aGVsbG8="), "provider: standardwebhooks: secret 1 is not a public key for this algorithm"},
		{provider.StandardWebhooks("whsk_aGVsbG8="), "provider: standardwebhooks: secret 0 is not an Ed25519 private key"},
		{provider.Discord("hush-hush"), "provider: discord: secret 0 is not valid hex, which the scheme requires"},
		{provider.Discord(privatePEM(ecKey())), "provider: discord: secret 0 is not a public key for this algorithm"},
		{provider.SendGrid(privatePEM(ecKey())), ""},
		{provider.Wise(privatePEM(ecKey())), "provider: wise: secret 0 is not a public key for this algorithm"},
		{provider.Wise(privatePEM(must(rsa.GenerateKey(rand.Reader, 1024)))), "provider: wise: secret 0 is not an RSA key of 2048 to 4096 bits"},
		{provider.Wise(privatePEM(must(rsa.GenerateKey(rand.Reader, 4096)))), ""},
		{provider.Wise(certificate(at)), ""},
		{provider.SendGrid(certificate(at)), "provider: sendgrid: secret 0 is not a public key for this algorithm"},
		{provider.SendGrid(p521), "provider: sendgrid: secret 0 is not a public key for this algorithm"},
		{provider.SendGrid("-----BEGIN HUSH-----"), "provider: sendgrid: secret 0 is not valid PEM"},
		{provider.SendGrid("aHVzaA=="), "provider: sendgrid: secret 0 is not a public key for this algorithm"},
		{provider.Adyen("hush-hush"), "provider: adyen: secret 0 is not valid hex, which the scheme requires"},
		{provider.StandardWebhooks("hush-hush", "whpk_aGVsbG8=", "whsk_aGVsbG8="), "provider: standardwebhooks: secret 0 does not begin with \"whsec_\", \"whpk_\" or \"whsk_\": write \"whsec_\" and the Base64 of the key\n" +
			"provider: standardwebhooks: secret 1 is not a public key for this algorithm\nprovider: standardwebhooks: secret 2 is not an Ed25519 private key"},
		{&provider.Provider{Name: "acme", Scheme: provider.Signature{}}, "provider: acme: Signature.Header is empty\nprovider: acme: no secret: use SetSecrets, or the Unsigned scheme to verify nothing"},
		{provider.AmazonSNS(nil), "provider: sns: no topic: name the ARNs of the subscribed topics"},
		{provider.AmazonSNS(nil, topic), ""},
		{provider.AmazonSNS(nil, "arn:aws:sns:evil.example/:1:a"), "provider: sns: a topic does not have the form arn:aws:sns:REGION:ACCOUNT:NAME"},
		{with(provider.Basic{}), "provider: github: secret 0 is not name:password"},
		{with(provider.Token{}), "provider: github: Token needs one of Header, Query, Wildcard, Path and Form"},
		{with(provider.Token{Header: "A", Query: "b"}), "provider: github: Token needs one of Header, Query, Wildcard, Path and Form"},
		{with(provider.Unsigned{}), "provider: github: Unsigned takes no secrets"},
		{with(provider.Custom{}), "provider: github: Custom.Verify is nil"},
		{with(nil), "provider: github: Scheme is nil"},
		{with(provider.Signature{}), "provider: github: Signature.Header is empty"},
		{signature(func(s *provider.Signature) { s.Algorithm = 99 }), "provider: github: Signature.Algorithm is unknown"},
		{signature(func(s *provider.Signature) { s.Encoding = 9 }), "provider: github: Signature.Encoding or Signature.Key is unknown"},
		{signature(func(s *provider.Signature) { s.Signed = "{ts}.{body}" }), "provider: github: Signature.Timestamp (Header or Prefix) and {ts} in Signature.Signed must be set together"},
		{signature(func(s *provider.Signature) { s.Timestamp.Header = "T" }), "provider: github: Signature.Timestamp (Header or Prefix) and {ts} in Signature.Signed must be set together"},
		{signature(func(s *provider.Signature) { s.Signed = "{id}.{body}" }), "provider: github: Signature.ID and {id} in Signature.Signed must be set together"},
		{signature(func(s *provider.Signature) { s.ID = "I" }), "provider: github: Signature.ID and {id} in Signature.Signed must be set together"},
		{signature(func(s *provider.Signature) { s.Signed = "{body" }), "provider: github: Signature.Signed has an unclosed brace"},
		{signature(func(s *provider.Signature) { s.Signed = "{Body}" }), "provider: github: Signature.Signed has the unknown field {Body}"},
		{signature(func(s *provider.Signature) { s.Signed = "v0" }), "provider: github: Signature.Signed needs {body} exactly once"},
		{signature(func(s *provider.Signature) { s.Signed = "{body}{body}" }), "provider: github: Signature.Signed needs {body} exactly once"},
		{signature(func(s *provider.Signature) { s.Timestamp = provider.Timestamp{Path: "t", Unit: time.Hour} }), "provider: github: Timestamp.Unit must be time.Second or time.Millisecond"},
		{signature(func(s *provider.Signature) {
			s.Signed, s.Timestamp = "{ts}{body}", provider.Timestamp{Header: "T", Prefix: "t="}
		}), "provider: github: Signature.Timestamp.Prefix needs a Separator\nprovider: github: Timestamp needs one of Header, Prefix and Path"},
	} {
		err := c.p.Validate()
		if got := errors.Join(err); (got == nil) != (c.want == "") || got != nil && got.Error() != c.want {
			t.Errorf("%s: got error %q, want %q", c.p.Name, got, c.want)
		}
		if err == nil || c.p.Name == "x" {
			continue
		}
		r := &provider.Request{Header: header()}
		if c.p.Precheck(r) == nil || c.p.Sign(r, "") == nil {
			t.Errorf("%q: Precheck or Sign: got no error, want one", c.want)
		}
		if _, err := c.p.Receive(r); err == nil {
			t.Errorf("%q: Receive: got no error, want one", c.want)
		}
	}
}

// A forged body costs little to refuse, also where the signature is inside it.
func TestForgedBodiesCostLittle(t *testing.T) {
	const size = 256 << 10
	full := func(piece string) string { return strings.Repeat(piece, size/len(piece)) }
	var names strings.Builder
	for i := 0; names.Len() < size; i++ {
		fmt.Fprintf(&names, `"%x":1,`, i)
	}
	bodies := map[string]string{
		"deep arrays":   full("["),
		"deep objects":  full(`{"a":`),
		"items":         "[" + full("{},") + "{}]",
		"notifications": `{"value":[` + full("{},") + "{}]}",
		"Adyen items":   `{"notificationItems":[` + full(`{"NotificationRequestItem":{}},`) + "{}]}",
		"names":         "{" + names.String() + `"a":1}`,
		"escapes":       `{"` + full(`\u0041`) + `":1}`,
		"fields":        full("a=b&"),
		"other fields":  strings.NewReplacer(`"`, "", ":1,", "&").Replace(names.String()),
		"lines":         full("{}\n"),
	}
	for name, body := range bodies {
		for _, s := range samples() {
			p := s.provider()
			if _, open := p.Scheme.(provider.Unsigned); open {
				continue
			}
			r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: http.Header{}, Body: []byte(body), Time: at}
			for name, value := range s.header {
				r.Header.Set(name, value)
			}
			for _, media := range []string{"application/json", "application/x-www-form-urlencoded"} {
				r.Header.Set("Content-Type", media)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				d, err := p.Receive(r)
				runtime.ReadMemStats(&after)
				if err == nil && d.Proof > transport.ProofBearer {
					t.Errorf("%s: %s as %s: got proof %v of a forged body, want an error", s.name, name, media, d.Proof)
				}
				if n := after.TotalAlloc - before.TotalAlloc; err != nil && n > 16*size {
					t.Errorf("%s: %s as %s: got %d bytes allocated, want at most %d", s.name, name, media, n, 16*size)
				}
			}
		}
	}
}

// Each sender's deliveries are received, as signed by an independent signer.
func TestDeliveriesAreReceived(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			p := s.provider()
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			r := s.request(s.sign(s.body))
			if err := p.Precheck(r); err != nil {
				t.Errorf("Precheck: %v", err)
			}
			d, err := p.Receive(r)
			if err != nil {
				t.Fatal(err)
			}
			s.check(t, d)
		})
	}
}

// check compares d with the Delivery of the sample.
func (s *sample) check(t *testing.T, d *provider.Delivery) {
	t.Helper()
	if d.ID != s.wantID || d.Signed != s.signed {
		t.Errorf("got id %q, signed %t, want %q, %t", d.ID, d.Signed, s.wantID, s.signed)
	}
	if d.Proof != s.proof || d.Key != 0 {
		t.Errorf("got proof %d of key %d, want %d of key 0", d.Proof, d.Key, s.proof)
	}
	if got := describe(d.Events); got != s.events {
		t.Errorf("got events %q, want %q", got, s.events)
	}
	for _, e := range d.Events {
		if len(e.Data) == 0 {
			t.Errorf("event %q: got no data, want some", e.ID)
		}
	}
}

// Sign makes a request that Receive accepts.
func TestSignedDeliveriesAreReceived(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			r := s.request(nil)
			if strings.HasPrefix(s.name, "eventgrid") {
				r.URL = "https://example.com/"
			}
			if s.name == "linear" {
				r.Body = []byte(`{"type":"Issue"}`) // Sign adds the time
			}
			p := s.provider()
			if err := p.Sign(r, s.id); err != nil {
				t.Fatal(err)
			}
			if err := p.Precheck(r); err != nil {
				t.Errorf("Precheck: %v", err)
			}
			d, err := p.Receive(r)
			if err != nil {
				t.Fatal(err)
			}
			s.check(t, d)
		})
	}
}

// A signature with a time is refused if it is too old, or too far in the future.
func TestStaleDeliveriesAreRefused(t *testing.T) {
	timeless := []string{
		"gitlab", "github", "bitbucket", "gitea", "shopify", "twilio form", "twilio json", "meta", "x", "websub", "dropbox",
		"square", "pagerduty", "typeform", "graph", "eventgrid", "cloudevents batch", "cloudevents binary",
		"alertmanager basic", "alertmanager", "adyen", "asana", "auth0 event stream", "auth0 array", "auth0 lines",
		"circleci", "cloudflare", "docusign", "figma", "gocardless", "intercom", "jira", "lemonsqueezy", "line", "mandrill", "notion", "okta",
		"razorpay", "sentry", "telegram", "terraformcloud", "trello", "vercel", "wise", "woocommerce", "xero",
	}
	for _, s := range samples() {
		within, beyond := 5*time.Minute, 5*time.Minute+time.Second
		switch s.name {
		case "box", "twitch":
			within, beyond = 10*time.Minute, 10*time.Minute+time.Second
		case "calendly":
			within, beyond = 3*time.Minute, 3*time.Minute+time.Second
		case "linear":
			within, beyond = time.Minute, time.Minute+time.Second
		case "discord":
			within, beyond = 15*time.Minute, 15*time.Minute+time.Second
		case "zoom":
			within, beyond = 2*time.Hour, 2*time.Hour+time.Second
		case "mailgun", "sns":
			within, beyond = 24*time.Hour, 24*time.Hour+time.Second
		case "kick":
			within, beyond = time.Hour, time.Hour+time.Second
		case "paypal":
			within, beyond = 73*time.Hour, 73*time.Hour+time.Second
		case "sendgrid":
			within, beyond = 25*time.Hour, 25*time.Hour+time.Second
		}
		for _, off := range []time.Duration{-beyond, -within, within, beyond} {
			r := s.request(s.sign(s.body))
			r.Time = at.Add(off)
			_, err := s.provider().Receive(r)
			want := off.Abs() <= within || has(timeless, s.name)
			if (err == nil) != want || err != nil && !forged(err) {
				t.Errorf("%s, off by %v: got error %v, want success %t", s.name, off, err, want)
			}
		}
	}
}

// A change of any signed bit, or of any bit of the signature, is refused, with an error that
// contains neither a secret nor the expected signature.
func TestEveryBitIsVerified(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			p := s.provider()
			header := s.sign(s.body)
			for name := range header {
				for i := range header[name] {
					s.flip(t, p, header, name, i)
				}
			}
			if s.proof == transport.ProofBody {
				for i := range s.body {
					s.flip(t, p, header, "", i)
				}
			}
		})
	}
}

// flip changes each bit of byte i of a header, or of the body if name is empty.
func (s *sample) flip(t *testing.T, p *provider.Provider, header map[string]string, name string, i int) {
	t.Helper()
	if name == "Authorization" && i < len("Bearer ") {
		return // the case is ignored
	}
	if name == "Paypal-Auth-Algo" {
		return // likewise, and it chooses nothing
	}
	for bit := range 8 {
		r := s.request(header)
		if name == "" {
			r.Body[i] ^= 1 << bit
			if (s.name == "twilio form" || s.name == "mandrill") && strings.EqualFold(string(r.Body), s.body) {
				continue // %2B equals %2b
			}
		} else {
			value := []byte(header[name])
			value[i] ^= 1 << bit
			r.Header.Set(name, string(value))
		}
		_, err := p.Receive(r)
		if err == nil {
			t.Fatalf("header %q: got no error with bit %d of byte %d changed, want one", name, bit, i)
		}
		for _, secret := range append([]string{key}, values(header)...) {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("got an error with a secret: %v", err)
			}
		}
	}
}

func values(header map[string]string) (list []string) {
	for _, v := range header {
		if len(v) > 8 {
			list = append(list, v)
		}
	}
	return list
}

func has(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

func forged(err error) bool {
	var f interface{ Forged() bool }
	return errors.As(err, &f) && f.Forged()
}
