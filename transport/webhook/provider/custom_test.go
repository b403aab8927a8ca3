package provider_test

import (
	"errors"
	"testing"

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
