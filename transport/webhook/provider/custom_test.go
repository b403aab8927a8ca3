package provider_test

import (
	"errors"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

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
		Proof: transport.ProofBearer,
	}}
	if err := p.SetSecrets("another", key); err != nil {
		t.Fatal(err)
	}
	r := &provider.Request{Header: header()}
	if err := p.Precheck(r); err == nil || err.Error() != "provider: own: no S" {
		t.Errorf("Precheck: got error %v, want that of Custom", err)
	}
	if _, err := p.Receive(r); !forged(err) {
		t.Errorf("Receive: got error %v, want Forged", err)
	}
	r.Header.Set("S", key)
	if d, err := p.Receive(r); err != nil || d.Key != 1 || d.Proof != transport.ProofBearer {
		t.Errorf("got %+v and error %v, want key 1 and ProofBearer", d, err)
	}
	if err := p.Sign(r, ""); err != nil || r.Header.Get("S") != "another" {
		t.Errorf("got header %v and error %v, want the first secret", r.Header, err)
	}
	p.Scheme = provider.Custom{Verify: func(*provider.Request, []string) (int, error) { return 7, nil }}
	if err := p.SetSecrets(key); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Receive(r); !forged(err) {
		t.Errorf("index out of range: got error %v, want Forged", err)
	}
	if err := p.Precheck(r); err != nil {
		t.Errorf("without Precheck: got error %v", err)
	}
	if p.Sign(r, "") == nil {
		t.Error("without Sign: got no error, want one")
	}
}

// Verify may need no secrets, and may replace the body with the decrypted one.
func TestCustomWithoutSecrets(t *testing.T) {
	p := &provider.Provider{
		Name: "own", ID: provider.Source{Path: []string{"id"}}, Payload: provider.Payload{Type: provider.Source{Path: []string{"type"}}},
		Scheme: provider.Custom{
			Proof: transport.ProofBody,
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
		t.Errorf("got header %v and error %v, want an empty secret", r.Header, err)
	}
	d, err := p.Receive(r)
	if err != nil || d.Key != -1 || d.ID != "1" || !d.Signed || len(d.Events) != 1 || d.Events[0].Type != "t" || string(d.Events[0].Data) != `{"id":"1","type":"t"}` {
		t.Errorf("got %+v and error %v, want the event in the decrypted body", d, err)
	}
	if _, err := p.Receive(&provider.Request{Header: header(), Body: []byte("other")}); !forged(err) {
		t.Errorf("got error %v, want Forged", err)
	}
}

// external is a scheme of another package, with the least that it must have.
type external struct {
	Name string
	provider.Scheme
}

func (e external) Custom() provider.Custom {
	return provider.Custom{
		Headers: []string{e.Name}, SignsURL: true, Causes: []string{"wrong secret"}, Proof: transport.ProofBearer,
		Validate: func(secrets []string) error {
			if e.Name == "" {
				return errors.Join(errors.New("Name is empty"), errors.New("and nothing else"))
			}
			return nil
		},
		Verify: func(r *provider.Request, secrets []string) (int, error) {
			if r.Header.Get(e.Name) != secrets[0] {
				return -1, nil
			}
			return 0, nil
		},
	}
}

// A type of another package is a Scheme, and its configuration is validated.
func TestExternalScheme(t *testing.T) {
	for _, s := range []provider.Scheme{external{Name: "x-acme"}, &external{Name: "x-acme"}} {
		p := &provider.Provider{Name: "acme", Scheme: s}
		if err := p.SetSecrets(key); err != nil {
			t.Fatal(err)
		}
		if h := p.CredentialHeaders(); len(h) != 1 || h[0] != "X-Acme" || !p.SignsURL() {
			t.Errorf("got headers %q, SignsURL %t, want X-Acme, true", h, p.SignsURL())
		}
		if d, err := p.Receive(&provider.Request{Header: header("X-Acme", key)}); err != nil || d.Key != 0 || d.Proof != transport.ProofBearer {
			t.Errorf("got %+v and error %v, want key 0 and ProofBearer", d, err)
		}
		_, err := p.Receive(&provider.Request{Header: header("X-Acme", "another")})
		if !forged(err) || err.Error() != "provider: acme: verification failed: wrong secret" {
			t.Errorf("got error %v, want a forgery with its cause", err)
		}
	}
	p := &provider.Provider{Name: "acme", Scheme: external{}}
	if err, want := p.Validate(), "provider: acme: Name is empty\nprovider: acme: and nothing else"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	p.Scheme = (*external)(nil)
	if err := p.Validate(); err == nil {
		t.Error("a nil pointer: got no error, want one")
	}
}
