package provider_test

import (
	"fmt"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func asana(secrets ...string) *provider.Provider { return provider.Asana(nil, secrets...) }

// Asana publishes no vector. The sample follows developers.asana.com/docs/webhooks-guide.
func asanaSample() sample {
	const body = `{"events":[{"user":{"gid":"1"},"resource":{"gid":"2","resource_type":"task"},"action":"changed"},{"resource":{"gid":"3","resource_type":"story"},"action":"added"}]}`
	return sample{
		name: "asana", make: asana, body: body, wantID: hashOf(body), signed: true,
		events: " task:changed\n story:added", sign: onHeader("X-Hook-Signature", "", hexMAC),
	}
}

// The secret is that of the example in developers.asana.com/reference/createwebhook.
const asanaSecret = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"

func asanaHandshake(secrets ...string) *provider.Request {
	h := header()
	for _, s := range secrets {
		h.Add("X-Hook-Secret", s)
	}
	return &provider.Request{Method: "POST", URL: "handshake", Header: h, Body: []byte("{}"), Time: at}
}

func TestAsanaHandshake(t *testing.T) {
	testUnsignedHandshake(t, provider.Asana(nil, asanaSecret), []handshakeCase{
		{asanaHandshake(asanaSecret), 200, ""}, // in use
		{asanaHandshake("another secret"), 403, ""},
		{asanaHandshake("abc"), 403, ""},
		{asanaHandshake(asanaSecret, asanaSecret), 0, ""},
		{asanaHandshake(), 0, ""},
	})
	p := provider.Asana(func(string) bool { return true })
	a, ok := handshake(p, asanaHandshake(asanaSecret))
	if !ok || a.Status != 200 || a.Header.Get("X-Hook-Secret") != asanaSecret {
		t.Errorf("got %+v, want 200 with the secret", a)
	}
	if a, _ := handshake(p, asanaHandshake("a\r\nb")); a.Status != 403 || a.Header != nil {
		t.Errorf("got %+v, want 403", a)
	}
}

// The secret of an expected handshake verifies the deliveries after it.
func TestAsanaLearnsItsSecret(t *testing.T) {
	p := provider.Asana(func(secret string) bool { return secret == asanaSecret })
	testLearning(t, p, asanaHandshake("another-secret"), asanaHandshake(asanaSecret), provider.Asana(nil, asanaSecret))
}

func TestAsanaHeartbeat(t *testing.T) {
	testRespond(t, provider.Asana(nil, key), []responseCase{{"heartbeat", nil, `{"events":[]}`, 0, "", 0}})
}

// A second webhook adds its secret. Neither replaces the other.
func TestAsanaSecretsAdd(t *testing.T) {
	p := provider.Asana(func(string) bool { return true }, key)
	for _, secret := range []string{"second-secret", "third-secret"} {
		if a, ok := handshake(p, asanaHandshake(secret)); !ok || a.Status != 200 {
			t.Fatalf("got %+v, want 200", a)
		}
	}
	for want, secret := range []string{key, "second-secret", "third-secret"} {
		if d, err := p.Receive(signed(t, provider.Asana(nil, secret))); err != nil || d.Key != want {
			t.Errorf("got %+v and error %v, want key %d", d, err, want)
		}
	}
}

// A secret of a wrong form, or one too many, is refused, and those in use remain.
func TestAsanaSecretsAreLimited(t *testing.T) {
	p := provider.Asana(func(string) bool { return true }, key)
	if a, _ := handshake(p, asanaHandshake("1/a-token")); a.Status != 403 {
		t.Errorf("a token: got %+v, want 403", a)
	}
	refused := 0
	for i := range 1001 {
		if a, _ := handshake(p, asanaHandshake(fmt.Sprintf("secret-%d", i))); a.Status != 200 {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("got %d refused, want 2 of 1002", refused)
	}
	if _, err := p.Receive(signed(t, provider.Asana(nil, key))); err != nil {
		t.Error(err)
	}
}
