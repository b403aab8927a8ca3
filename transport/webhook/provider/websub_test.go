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

// subscribed is what a WebSub subscriber has asked for.
func subscribed(mode, topic string, lease time.Duration) bool {
	return mode == "subscribe" && topic == "https://blog.example/feed" && lease == time.Hour
}

// webSub is a hub with another method than the one that is expected.
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
			t.Errorf("%s: topic %q", link, got)
		}
	}
}
