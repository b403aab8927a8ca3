package provider_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Each delivery is verified with the current secrets, of both versions of Standard Webhooks.
func TestSecretRotation(t *testing.T) {
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
				t.Errorf("signed by %s: got key %d, want %d", by, got, secrets[i])
			}
		}
	}
	expect(0, -1, -1)
	set := func(ok bool, secrets ...string) {
		t.Helper()
		if err := p.SetSecrets(secrets...); (err == nil) != ok {
			t.Errorf("SetSecrets: got error %v, want success %t", err, ok)
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
		t.Error("Sign with a public key: got no error, want one")
	}
	secrets := []string{newer, older}
	set(true, secrets...)
	secrets[0] = "something else"
	expect(1, 0, -1)
}

// SetSecrets may be called while requests are verified.
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
			t.Error("SetSecrets: got an error, want none")
		}
	}
	wg.Wait()
}

// A later change of the slice given to SetSecrets has no effect.
func TestSecretsAreCopied(t *testing.T) {
	p, secrets := provider.X(key), []string{key}
	before, _ := handshake(p, get("crc_token=a"))
	if err := p.SetSecrets(secrets...); err != nil {
		t.Fatal(err)
	}
	secrets[0] = "something else"
	if after, _ := handshake(p, get("crc_token=a")); string(after.Body) != string(before.Body) {
		t.Errorf("got %s, want %s", after.Body, before.Body)
	}
}

// A printed Provider does not show its secrets.
func TestSecretsAreNotPrinted(t *testing.T) {
	p := provider.StandardWebhooks("whsec_" + key)
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(format, p); strings.Contains(text, key) {
			t.Errorf("%s: got the key in %s", format, text)
		}
	}
}

// The length of a key is that of its bytes, not of its text.
func TestShortKeysAreRefused(t *testing.T) {
	for _, p := range []*provider.Provider{
		provider.StandardWebhooks("whsec_AAAA"), provider.Svix("whsec_AA"), provider.GitLab("whsec_AAAA"),
		provider.Adyen("0a0b0c"), provider.StandardWebhooks("whsec_"+key, "whsec_AAAA"),
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "is shorter than 4 bytes") {
			t.Errorf("%s: got error %v, want a key that is too short", p.Name, err)
		}
	}
}
