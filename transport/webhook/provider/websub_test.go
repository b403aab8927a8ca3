package provider_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func webSubSample() sample {
	return sample{
		name: "websub", make: func(s ...string) *provider.Provider { return provider.WebSub(nil, s...) },
		header: map[string]string{"Content-Type": "application/atom+xml", "Link": `<https://hub.example/>; rel="hub", <https://blog.example/feed>; rel="self"`},
		body:   "<feed/>", events: " https://blog.example/feed", sign: onHeader("X-Hub-Signature", "sha256=", hexMAC),
	}
}

// webSub returns the provider of a hub that uses another algorithm.
func webSub(a provider.Algorithm, prefix string) func(...string) *provider.Provider {
	return func(secrets ...string) *provider.Provider {
		p := provider.WebSub(nil, secrets...)
		p.Scheme = provider.Signature{Algorithm: a, Header: "X-Hub-Signature", Prefix: prefix}
		return p
	}
}

func TestWebSubTopic(t *testing.T) {
	p := provider.WebSub(nil)
	p.Scheme = provider.Unsigned{}
	for link, want := range map[string]string{
		`<https://a.example/?q=1,2>; rel="self"`:                                 "https://a.example/?q=1,2",
		`<https://a.example/>; rel="self bookmark"`:                              "https://a.example/",
		`<https://a.example/>; title="<,>"; rel="hub", <https://b/>; rel = SELF`: "https://b/",
		`<https://a.example/>; title="a \", rel=self"; rel=hub`:                  "",
		`<https://a.example/>; rel=hub; rel=self`:                                "", // only the first counts (RFC 8288, section 3.3)
		`<https://a.example/>; relation=self`:                                    "",
		`<https://a.example/`:                                                    "",
		``:                                                                       "",
	} {
		d, err := p.Receive(&provider.Request{Method: "POST", Header: http.Header{"Link": {link}}, Body: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Events[0].Type; got != want {
			t.Errorf("%s: got topic %q, want %q", link, got, want)
		}
	}
}

func TestWebSubHandshake(t *testing.T) {
	const topic = "&hub.topic=https%3A%2F%2Fblog.example%2Ffeed&hub.lease_seconds=3600"
	subscribed := func(mode, topic string, lease time.Duration) bool {
		return mode == "subscribe" && topic == "https://blog.example/feed" && lease == time.Hour
	}
	testHandshake(t, provider.WebSub(subscribed, key), []handshakeCase{
		{get("hub.mode=subscribe&hub.challenge=a%2Bb/c%3D" + topic), 200, "a+b/c="},
		{get("hub.mode=subscribe&hub.challenge=%22" + topic), 400, ""},
		{get("hub.mode=unsubscribe&hub.challenge=abc" + topic), 404, ""},
		{get("hub.mode=denied" + topic), 200, ""},
		{get("hub.mode=publish" + topic), 0, ""},
		{get("hub.mode=subscribe&hub.challenge=abc"), 0, ""},
	})
	testHandshake(t, provider.WebSub(nil, key), []handshakeCase{
		{get("hub.mode=subscribe&hub.challenge=abc" + topic), 0, ""},
	})
}
