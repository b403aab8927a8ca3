package provider_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A scheme, a pointer to it and a struct that embeds it are equivalent: they sign, verify,
// refuse with the same error, and report the same credentials.
func TestPointersToSchemes(t *testing.T) {
	signature := provider.Signature{Header: "x-acme", Signed: "{url}{ts}{body}", Timestamp: provider.Timestamp{Header: "T"}}
	token, query := provider.Token{Header: "x-acme", Prefix: "Bearer "}, provider.Token{Query: "code"}
	custom := provider.Custom{
		Headers: []string{"x-acme", "X-Acme", "x-other"}, Proof: transport.ProofBearer,
		Verify: func(r *provider.Request, secrets []string) (int, error) {
			return slices.Index(secrets, r.Header.Get("x-acme")), nil
		},
		Sign: func(r *provider.Request, _, secret string) error {
			r.Header.Set("x-acme", secret)
			return nil
		},
	}
	for _, c := range []struct {
		name    string
		schemes [3]provider.Scheme
		headers []string
		url     bool
	}{
		{"signature", [3]provider.Scheme{signature, &signature, struct{ provider.Signature }{signature}}, []string{"X-Acme"}, true},
		{"token", [3]provider.Scheme{token, &token, struct{ *provider.Token }{&token}}, []string{"X-Acme"}, false},
		{"query", [3]provider.Scheme{query, &query, struct{ provider.Token }{query}}, nil, false},
		{"basic", [3]provider.Scheme{provider.Basic{}, &provider.Basic{}, struct{ provider.Basic }{}}, []string{"Authorization"}, false},
		{"custom", [3]provider.Scheme{custom, &custom, struct{ provider.Custom }{custom}}, []string{"X-Acme", "X-Other"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := ""
			for i, scheme := range c.schemes {
				p := &provider.Provider{Name: "acme", Scheme: scheme}
				if err := p.SetSecrets("name:" + key); err != nil {
					t.Fatal(err)
				}
				if got := p.CredentialHeaders(); !slices.Equal(got, c.headers) || p.SignsURL() != c.url {
					t.Errorf("%T: got credentials %q, SignsURL %t, want %q, %t", scheme, got, p.SignsURL(), c.headers, c.url)
				}
				r := &provider.Request{URL: "https://example.com/a", Header: header(), Body: []byte("{}"), Time: at}
				if err := p.Sign(r, ""); err != nil {
					t.Fatal(err)
				}
				if _, err := p.Receive(r); err != nil {
					t.Errorf("%T: got error %v, want Scheme is nil", scheme, err)
				}
				if err := p.SetSecrets("name:another"); err != nil {
					t.Fatal(err)
				}
				_, err := p.Receive(r)
				if !forged(err) {
					t.Errorf("%T: got error %v, want Forged", scheme, err)
				}
				if i == 0 {
					want = fmt.Sprint(err)
				} else if got := fmt.Sprint(err); got != want {
					t.Errorf("%T: got error %q, want %q", scheme, got, want)
				}
			}
		})
	}
}

// A nil pointer is reported like a missing scheme.
func TestNilPointersToSchemes(t *testing.T) {
	for _, scheme := range []provider.Scheme{
		nil, (*provider.Signature)(nil), (*provider.Token)(nil), (*provider.Basic)(nil), (*provider.Custom)(nil), (*provider.Unsigned)(nil),
	} {
		p := &provider.Provider{Name: "acme", Scheme: scheme}
		r := &provider.Request{Header: http.Header{}}
		_, err := p.Receive(r)
		for _, err := range []error{err, p.Validate(), p.SetSecrets("hush-hush"), p.Precheck(r), p.Sign(r, "")} {
			if got := errors.Join(err); got == nil || got.Error() != "provider: acme: Scheme is nil" {
				t.Errorf("%T: got error %v, want Scheme is nil", scheme, err)
			}
		}
		if p.CredentialHeaders() != nil || p.SignsURL() {
			t.Errorf("%T: got credentials %q, SignsURL %t, want none", scheme, p.CredentialHeaders(), p.SignsURL())
		}
	}
}

func TestCredentialHeaders(t *testing.T) {
	for _, c := range []struct {
		p    *provider.Provider
		want []string
	}{
		{provider.Svix(key), []string{"Svix-Signature", "Webhook-Signature"}},
		{provider.GitLab(key), []string{"Webhook-Signature", "X-Gitlab-Token"}},
		{provider.Alertmanager(key), []string{"Authorization"}},
		{provider.Mailgun(key), nil},
	} {
		if got := c.p.CredentialHeaders(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.p.Name, got, c.want)
		}
	}
}
