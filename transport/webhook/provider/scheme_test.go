package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestValidate reports what cannot work, and never a secret.
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
		{provider.Adyen("c0ffee00"), "provider: adyen: secret 0 is a key of 4 bytes, want 32"},
		{provider.CloudEvents(nil, "bearer hush-hush"), `provider: cloudevents: secret 0 begins with "Bearer ", which Token.Prefix already adds`},
		{provider.StandardWebhooks("whsec_"), "provider: standardwebhooks: secret 0 is empty"},
		{provider.StandardWebhooks("whsec_"+key, "whpk_aGVsbG8="), "provider: standardwebhooks: secret 1 is not a public key for this algorithm"},
		{provider.StandardWebhooks("whsk_aGVsbG8="), "provider: standardwebhooks: secret 0 is not an Ed25519 private key"},
		{provider.Discord("hush-hush"), "provider: discord: secret 0 is not valid hex, which the scheme requires"},
		{provider.Discord(privatePEM(ecKey())), "provider: discord: secret 0 is not a public key for this algorithm"},
		{provider.SendGrid(privatePEM(ecKey())), ""},
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
		{with(provider.Token{}), "provider: github: Token needs either Header or Query"},
		{with(provider.Token{Header: "A", Query: "b"}), "provider: github: Token needs either Header or Query"},
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
			t.Errorf("%q, want %q", got, c.want)
		}
		if err == nil || c.p.Name == "x" {
			continue
		}
		r := &provider.Request{Header: header()}
		if c.p.Precheck(r) == nil || c.p.Sign(r, "") == nil {
			t.Errorf("%q: it is in use all the same", c.want)
		}
		if _, err := c.p.Receive(r); err == nil {
			t.Errorf("%q: it receives all the same", c.want)
		}
	}
}

// TestRotation receives from a sender that goes over to another secret, and from one that
// no longer may.
func TestRotation(t *testing.T) {
	const older, newer = "whsec_b2xkZXI=", "whsec_bmV3ZXI="
	private := "whsk_" + base64.StdEncoding.EncodeToString(edKey.Seed())
	public := "whpk_" + base64.StdEncoding.EncodeToString(edKey[32:])
	p := provider.StandardWebhooks(older)
	key := func(by string) int {
		t.Helper()
		r := signed(t, provider.StandardWebhooks(by))
		d, err := p.Receive(r)
		if err != nil {
			return -1
		}
		return d.Key
	}
	expect := func(secrets ...int) {
		t.Helper()
		for i, by := range []string{older, newer, private} {
			if got := key(by); got != secrets[i] {
				t.Errorf("%s matches %d", by, got)
			}
		}
	}
	expect(0, -1, -1)
	set := func(ok bool, secrets ...string) {
		t.Helper()
		if err := p.SetSecrets(secrets...); (err == nil) != ok {
			t.Error(err)
		}
	}
	set(true, newer, public, older)
	expect(2, 0, 1)
	set(false, older, "")
	set(false)
	expect(2, 0, 1)
	set(true, newer)
	expect(-1, 0, -1)
	set(true, public)
	expect(-1, -1, 0)
	if err := p.Sign(&provider.Request{}, "m1"); err == nil {
		t.Error("signed with a public key")
	}
	secrets := []string{newer, older}
	set(true, secrets...)
	secrets[0] = "something else"
	expect(1, 0, -1)
}

// TestSetSecretsWhileReceiving has deliveries verified by the old secrets or by the new.
func TestSetSecretsWhileReceiving(t *testing.T) {
	p := provider.Stripe("whsec_older", "whsec_newer")
	older, newer := signed(t, provider.Stripe("whsec_older")), signed(t, provider.Stripe("whsec_newer"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for _, r := range []*provider.Request{older, newer} {
					if _, err := p.Receive(r); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 200 {
		if p.SetSecrets("whsec_newer", "whsec_older") != nil || p.SetSecrets("whsec_older", "whsec_newer") != nil {
			t.Error("the secrets are refused")
		}
	}
	wg.Wait()
}

// TestPublicKeysAtOnce verifies more at once than there are processors.
func TestPublicKeysAtOnce(t *testing.T) {
	for _, s := range []sample{discordSample(), sendGridSample(), snsSample()} {
		p := s.provider()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				r := s.request(nil)
				if err := p.Sign(r, "m-1"); err != nil {
					t.Error(err)
				}
				if _, err := p.Receive(r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func TestCustom(t *testing.T) {
	p := &provider.Provider{Name: "own", Scheme: provider.Custom{
		Precheck: func(r *provider.Request) error {
			if r.Header.Get("S") == "" {
				return errors.New("no S")
			}
			return nil
		},
		Verify: func(r *provider.Request, secrets []string) (int, error) {
			for i, s := range secrets {
				if r.Header.Get("S") == s {
					return i, nil
				}
			}
			return -1, nil
		},
		Sign: func(r *provider.Request, id, secret string) error {
			r.Header.Set("S", secret)
			return nil
		},
		Proof: provider.ProofBearer,
	}}
	if err := p.SetSecrets("another", key); err != nil {
		t.Fatal(err)
	}
	r := &provider.Request{Header: header()}
	if err := p.Precheck(r); err == nil || err.Error() != "provider: own: no S" {
		t.Error(err)
	}
	if _, err := p.Receive(r); !forged(err) {
		t.Error(err)
	}
	r.Header.Set("S", key)
	if d, err := p.Receive(r); err != nil || d.Key != 1 || d.Proof != provider.ProofBearer {
		t.Errorf("%+v, %v", d, err)
	}
	if err := p.Sign(r, ""); err != nil || r.Header.Get("S") != "another" {
		t.Error(err)
	}
	p.Scheme = provider.Custom{Verify: func(*provider.Request, []string) (int, error) { return 7, nil }}
	if err := p.SetSecrets(key); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Receive(r); !forged(err) {
		t.Error(err)
	}
	if p.Precheck(r) != nil || p.Sign(r, "") == nil {
		t.Error("there is a Sign")
	}
}

// TestCustomWithoutSecrets verifies with keys that are public, and takes the body that Verify
// has decrypted.
func TestCustomWithoutSecrets(t *testing.T) {
	p := &provider.Provider{
		Name: "own", ID: provider.Source{Path: []string{"id"}}, Payload: provider.Payload{Type: provider.Source{Path: []string{"type"}}},
		Scheme: provider.Custom{
			Proof: provider.ProofBody,
			Verify: func(r *provider.Request, secrets []string) (int, error) {
				if len(secrets) > 0 || string(r.Body) != "encrypted" {
					return -1, nil
				}
				r.Body = []byte(`{"id":"1","type":"t"}`)
				return 0, nil
			},
			Sign: func(r *provider.Request, id, secret string) error {
				r.Header.Set("S", "secret"+secret)
				return nil
			},
		},
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &provider.Request{Header: header(), Body: []byte("encrypted")}
	if err := p.Sign(r, ""); err != nil || r.Header.Get("S") != "secret" {
		t.Errorf("%v, %v", r.Header, err)
	}
	d, err := p.Receive(r)
	if err != nil || d.Key != -1 || d.ID != "1" || !d.Signed || len(d.Events) != 1 || d.Events[0].Type != "t" || string(d.Events[0].Data) != `{"id":"1","type":"t"}` {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := p.Receive(&provider.Request{Header: header(), Body: []byte("other")}); !forged(err) {
		t.Error(err)
	}
}

func TestUnsigned(t *testing.T) {
	p := provider.Dropbox()
	p.Scheme = provider.Unsigned{}
	r := &provider.Request{Header: header(), Body: []byte("anything")}
	if err := errors.Join(p.Validate(), p.Sign(r, "d1"), p.Precheck(r)); err != nil {
		t.Error(err)
	}
	d, err := p.Receive(r)
	if err != nil || d.Proof != provider.ProofNone || d.Key != -1 || d.Signed || len(d.Events) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestSignID holds that Sign makes nothing that Receive would refuse.
func TestSignID(t *testing.T) {
	for _, id := range []string{"", "a.b"} {
		if provider.StandardWebhooks("whsec_"+key).Sign(&provider.Request{}, id) == nil {
			t.Errorf("signed with the id %q", id)
		}
	}
}

// TestSignTime writes the time into a body.
func TestSignTime(t *testing.T) {
	for body, want := range map[string]string{
		"{}":          `{"webhookTimestamp":` + millis + `}`,
		" { \"a\":1}": `{"webhookTimestamp":` + millis + `, "a":1}`,
		"[]":          "", "": "",
	} {
		p, r := provider.Linear(key), &provider.Request{Body: []byte(body), Time: at}
		if err := p.Sign(r, "d1"); (err == nil) != (want != "") || err == nil && string(r.Body) != want {
			t.Errorf("%q: %s, %v", body, r.Body, err)
		}
	}
}

// TestFirstSigns holds that the first secret signs, of whichever scheme it is.
func TestFirstSigns(t *testing.T) {
	r := &provider.Request{}
	if err := provider.GitLab("the token", "whsec_"+key).Sign(r, "d1"); err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("X-Gitlab-Token") != "the token" || r.Header.Get("Webhook-Signature") != "" {
		t.Errorf("%v", r.Header)
	}
}

// TestSecretsAreKept has the challenge of X answered with a secret as it was given.
func TestSecretsAreKept(t *testing.T) {
	p, secrets := provider.X(key), []string{key}
	before, _ := p.Greet(get("crc_token=a"))
	if err := p.SetSecrets(secrets...); err != nil {
		t.Fatal(err)
	}
	secrets[0] = "something else"
	if after, _ := p.Greet(get("crc_token=a")); string(after.Body) != string(before.Body) {
		t.Errorf("%s", after.Body)
	}
}

// TestPrinted holds that a provider can be printed without its secrets.
func TestPrinted(t *testing.T) {
	p := provider.StandardWebhooks("whsec_" + key)
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(format, p); strings.Contains(text, key) {
			t.Errorf("%s: %s", format, text)
		}
	}
}
