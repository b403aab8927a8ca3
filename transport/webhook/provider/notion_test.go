package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func notion(secrets ...string) *provider.Provider { return provider.Notion(nil, secrets...) }

// A vector is that of signWebhookPayload of @notionhq/client, in the integration test.
func notionSample() sample {
	return sample{
		name: "notion", make: notion, wantID: "n1", signed: true, events: "n1 page.created",
		body: `{"id":"n1","type":"page.created","attempt_number":1}`, sign: onHeader("X-Notion-Signature", "sha256=", hexMAC),
	}
}

func notionToken(token string) *provider.Request {
	return &provider.Request{
		Method: "POST", URL: "token " + token, Header: header(), Time: at, Body: []byte(`{"verification_token":"` + token + `"}`),
	}
}

func TestNotionHandshake(t *testing.T) {
	testUnsignedHandshake(t, provider.Notion(nil, key), []handshakeCase{
		{notionToken("secret_abc"), 403, ""},
		{notionToken(key), 200, ""}, // in use
		{notionToken(`a\u003cb`), 403, ""},
		{notionToken("abc"), 403, ""}, // too short
		{notionToken(""), 0, ""},
		{&provider.Request{URL: "an event", Header: header(), Body: []byte(body), Time: at}, 0, ""},
	})
	signed := notionToken("secret_abc")
	signed.Header.Set("X-Notion-Signature", "sha256="+hexMAC("other"))
	testHandshake(t, provider.Notion(nil, key), []handshakeCase{{signed, 0, ""}, {get("verification_token=a"), 0, ""}})
}

// The token of an expected handshake verifies the deliveries after it.
func TestNotionLearnsItsToken(t *testing.T) {
	const token = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"
	var asked []string
	p := provider.Notion(func(token string) bool { asked = append(asked, token); return token[:7] == "secret_" })
	testLearning(t, p, notionToken("another_token"), notionToken(token), provider.Notion(nil, token))
	if len(asked) == 0 || asked[len(asked)-1] != token {
		t.Errorf("got questions about %q, want the last about the token", asked)
	}
}

// testLearning tests a provider that has no secret. It refuses one handshake and accepts another,
// whose secret owner has.
func testLearning(t *testing.T, p *provider.Provider, refused, accepted *provider.Request, owner *provider.Provider) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	delivery := signed(t, owner)
	receive := func() error {
		early := p.Precheck(delivery)
		_, err := p.Receive(delivery)
		if early != nil && err == nil {
			t.Errorf("got a Delivery after the error %v of Precheck, want one of Receive too", early)
		}
		return err
	}
	if err := receive(); !busy(err) {
		t.Errorf("before the handshake: got error %v, want Busy", err)
	}
	for _, r := range []*provider.Request{refused, accepted, accepted} {
		if err := p.Precheck(r); r == accepted && err != nil {
			t.Errorf("handshake: Precheck: %v", err)
		}
		d, err := p.Receive(r)
		want := 200
		if r == refused {
			want = 403
		}
		if err != nil || d.Answer.Status != want || len(d.Events) != 0 {
			t.Fatalf("handshake: got %+v and error %v, want %d", d, err, want)
		}
		if r == refused && !busy(receive()) {
			t.Error("after a refused handshake: want Busy")
		}
	}
	if err := receive(); err != nil {
		t.Errorf("after the handshake: %v", err)
	}
	delivery.Body[0] ^= 1
	if err := receive(); !forged(err) {
		t.Errorf("a changed delivery: got error %v, want Forged", err)
	}
}
