package provider_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestSenders receives what each sender sends, as this test has signed it.
func TestSenders(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			p := s.provider()
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			r := s.request(s.sign(s.body))
			if err := p.Precheck(r); err != nil {
				t.Errorf("precheck: %v", err)
			}
			d, err := p.Receive(r)
			if err != nil {
				t.Fatal(err)
			}
			s.check(t, d)
		})
	}
}

func (s *sample) check(t *testing.T, d *provider.Delivery) {
	t.Helper()
	if d.ID != s.wantID || d.Signed != s.signed {
		t.Errorf("id %q, signed %t", d.ID, d.Signed)
	}
	if d.Proof != s.proof || d.Key != 0 {
		t.Errorf("proof %d by key %d", d.Proof, d.Key)
	}
	if got := describe(d.Events); got != s.events {
		t.Errorf("events %q", got)
	}
	for _, e := range d.Events {
		if len(e.Data) == 0 {
			t.Errorf("event %q has no data", e.ID)
		}
	}
}

// TestSign receives what Sign makes, of a delivery without what the sender adds to it.
func TestSign(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			r := s.request(nil)
			if strings.HasPrefix(s.name, "eventgrid") {
				r.URL = "https://example.com/"
			}
			if s.name == "linear" {
				r.Body = []byte(`{"type":"Issue"}`) // its time is written by Sign
			}
			p := s.provider()
			if err := p.Sign(r, s.id); err != nil {
				t.Fatal(err)
			}
			if err := p.Precheck(r); err != nil {
				t.Errorf("precheck: %v", err)
			}
			d, err := p.Receive(r)
			if err != nil {
				t.Fatal(err)
			}
			s.check(t, d)
		})
	}
}

// TestStale receives each delivery too late, and too early.
func TestStale(t *testing.T) {
	timeless := []string{
		"gitlab", "github", "bitbucket", "gitea", "shopify", "twilio form", "twilio json", "meta", "x", "websub", "dropbox",
		"square", "pagerduty", "typeform", "graph", "eventgrid", "cloudevents batch", "cloudevents binary",
		"alertmanager basic", "alertmanager", "adyen",
	}
	for _, s := range samples() {
		within, beyond := 5*time.Minute, 5*time.Minute+time.Second
		switch s.name {
		case "twitch":
			within, beyond = 10*time.Minute, 10*time.Minute+time.Second
		case "linear":
			within, beyond = time.Minute, time.Minute+time.Second
		case "discord":
			within, beyond = 15*time.Minute, 15*time.Minute+time.Second
		case "zoom":
			within, beyond = 2*time.Hour, 2*time.Hour+time.Second
		case "mailgun", "sns":
			within, beyond = 24*time.Hour, 24*time.Hour+time.Second
		case "sendgrid":
			within, beyond = 25*time.Hour, 25*time.Hour+time.Second
		}
		for _, off := range []time.Duration{-beyond, -within, within, beyond} {
			r := s.request(s.sign(s.body))
			r.Time = at.Add(off)
			_, err := s.provider().Receive(r)
			want := off.Abs() <= within || has(timeless, s.name)
			if (err == nil) != want || err != nil && !forged(err) {
				t.Errorf("%s, off by %v: %v", s.name, off, err)
			}
		}
	}
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

// TestFlip changes each bit of what is signed, and of the signature. No error tells a
// secret, nor the signature that would have been right.
func TestFlip(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			p := s.provider()
			header := s.sign(s.body)
			for name := range header {
				for i := range header[name] {
					s.flip(t, p, header, name, i)
				}
			}
			if s.proof == provider.ProofBody {
				for i := range s.body {
					s.flip(t, p, header, "", i)
				}
			}
		})
	}
}

// flip changes a header's byte, or one of the body.
func (s *sample) flip(t *testing.T, p *provider.Provider, header map[string]string, name string, i int) {
	t.Helper()
	if name == "Authorization" && i < len("Bearer ") {
		return // in any case
	}
	for bit := range 8 {
		r := s.request(header)
		if name == "" {
			r.Body[i] ^= 1 << bit
			if s.name == "twilio form" && strings.EqualFold(string(r.Body), s.body) {
				continue // %2B and %2b are the same
			}
		} else {
			value := []byte(header[name])
			value[i] ^= 1 << bit
			r.Header.Set(name, string(value))
		}
		_, err := p.Receive(r)
		if err == nil {
			t.Fatalf("%q: bit %d of byte %d does not matter", name, bit, i)
		}
		for _, secret := range append([]string{key}, values(header)...) {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("the error tells too much: %v", err)
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
