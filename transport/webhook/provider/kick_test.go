package provider_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// pinned returns a preset whose keys are set, not fetched.
func pinned(p *provider.Provider, secrets []string) *provider.Provider {
	if err := p.SetSecrets(secrets...); err != nil {
		panic(err)
	}
	return p
}

func kickSample() sample {
	return sample{
		name: "kick", secret: privatePEM(rsaKey()), id: "01JKICK", wantID: "01JKICK", signed: true,
		make:   func(s ...string) *provider.Provider { return pinned(provider.Kick(nil), s) },
		header: map[string]string{"Kick-Event-Type": "chat.message.sent"},
		body:   `{"message_id":"m"}`, events: " chat.message.sent",
		sign: func(body string) map[string]string {
			return map[string]string{
				"Kick-Event-Message-Id": "01JKICK", "Kick-Event-Message-Timestamp": rfc3339,
				"Kick-Event-Signature": signRSA("01JKICK." + rfc3339 + "." + body),
			}
		},
	}
}

func publicPEM(k *rsa.PublicKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(k))}))
}

const kickKeyURL = "https://api.kick.com/public/v1/public-key"

func kickPage(k *rsa.PublicKey) string {
	return string(must(json.Marshal(map[string]any{"data": map[string]any{"public_key": publicPEM(k)}, "message": "OK"})))
}

// Kick's key is fetched when it is needed, and again when a signature does not match it.
func TestKickFetchesItsKey(t *testing.T) {
	s := kickSample()
	other := must(rsa.GenerateKey(rand.Reader, 2048))
	synctest.Test(t, func(t *testing.T) {
		service := &aws{t: t, pages: map[string]string{}}
		p := provider.Kick(&http.Client{Transport: service})
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		receive := func() error {
			r := s.request(s.sign(s.body))
			d, err := p.Receive(r)
			if err == nil && (d.Key != -1 || d.ID != "01JKICK" || !d.Signed) {
				t.Errorf("got %+v, want the signed id and no key", d)
			}
			return err
		}
		want := func(what string, ok, isForged bool, fetched int) {
			t.Helper()
			if err := receive(); (err == nil) != ok || forged(err) != isForged || err != nil && busy(err) == isForged || len(service.fetched) != fetched {
				t.Errorf("%s: got error %v after %d fetches, want success %t, Forged %t after %d", what, err, len(service.fetched), ok, isForged, fetched)
			}
		}
		want("Kick is down", false, false, 1)
		want("at once again", false, false, 1)
		time.Sleep(30 * time.Second)
		for i, page := range []string{"<html>", `{"data":{"public_key":"x"}}`, `{"data":{"public_key":"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"}}`} {
			service.pages[kickKeyURL] = page
			want("no key: "+page, false, false, 2+i)
			time.Sleep(30 * time.Second)
		}
		service.pages[kickKeyURL] = kickPage(&other.PublicKey)
		want("another key", false, true, 5)
		time.Sleep(30 * time.Second)
		want("still another key", false, true, 6)
		service.pages[kickKeyURL] = kickPage(&rsaKey().PublicKey)
		want("replaced, less than 30 s later", false, true, 6)
		time.Sleep(30 * time.Second)
		want("replaced", true, false, 7)
		want("cached", true, false, 7)
		delete(service.pages, kickKeyURL)
		time.Sleep(2 * time.Hour)
		want("Kick is down, the key is old", true, false, 8)
		r := s.request(s.sign(s.body))
		r.Body[0]++
		if _, err := p.Receive(r); !busy(err) {
			t.Errorf("another body while Kick is down: got error %v, want Busy", err)
		}
		r.Header.Del("Kick-Event-Signature")
		before := len(service.fetched)
		if _, err := p.Receive(r); err == nil || p.Precheck(r) == nil || len(service.fetched) != before {
			t.Errorf("no signature: got error %v after %d fetches, want one and none", err, len(service.fetched)-before)
		}
		if p.Sign(r, "1") == nil {
			t.Error("Sign: got no error, want one")
		}
	})
}
