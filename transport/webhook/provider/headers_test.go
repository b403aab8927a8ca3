package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

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

// TestCloudEventsHeader reads header values as older senders write them too, which must be
// supported (section 3.1.3.2 of the HTTP binding).
func TestCloudEventsHeader(t *testing.T) {
	p := provider.CloudEvents(nil, key)
	for value, want := range map[string]string{
		`com.example.a`:          `com.example.a`,
		`"com.example.a"`:        `com.example.a`,
		`"a \"b\" \\ %C3%A9%22"`: `a "b" \ é"`,
		`%22a%22`:                `"a"`,
		`"`:                      `"`,
		`"a\"`:                   `a\`,
		`%zz`:                    `%zz`,
	} {
		d, err := p.Receive(&provider.Request{Method: "POST", Body: []byte("x"), Header: http.Header{
			"Authorization": {"Bearer " + key}, "Ce-Id": {"1"}, "Ce-Source": {"/a"}, "Ce-Type": {value},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Events[0].Type; got != want {
			t.Errorf("%s: type %q", value, got)
		}
	}
}

// TestCloudEventsIDs holds that what a receiver remembers events by is not changed: two events
// of a sender that does not percent-encode its headers would become one, and be lost.
func TestCloudEventsIDs(t *testing.T) {
	p := provider.CloudEvents(nil, key)
	seen := map[string][2]string{}
	for _, pair := range [][2]string{
		{"/a%2Fb", "1"}, {"/a/b", "1"}, {"/a", "%31"}, {"/a", "1"}, {`"/a"`, "1"}, {"/a", `"1"`}, {"/A", "1"}, {"/a", "%zz"},
		{"/a b", "c"}, {"/a", "b c"}, {`"/a`, `b" c`}, {"/a%20b", "c"}, {"", "1"}, {"", " 1"},
	} {
		r := &provider.Request{Method: "POST", Body: []byte("{}"), Header: http.Header{
			"Authorization": {"Bearer " + key}, "Ce-Id": {pair[1]}, "Ce-Source": {pair[0]}, "Ce-Type": {"t"},
		}}
		d, err := p.Receive(r)
		if err != nil {
			t.Fatal(err)
		}
		id := d.Events[0].ID
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q are both %q", pair, other, id)
		}
		seen[id] = pair
	}
	structured := &provider.Request{Method: "POST", Body: []byte(`{"source":"/a b","id":"c"}`), Header: http.Header{
		"Authorization": {"Bearer " + key}, "Content-Type": {"application/cloudevents+json"},
	}}
	if d, err := p.Receive(structured); err != nil || d.Events[0].ID != `"/a b" c` {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestShortKeys holds that a key is as long as its bytes, and not as their text.
func TestShortKeys(t *testing.T) {
	for _, p := range []*provider.Provider{
		provider.StandardWebhooks("whsec_AAAA"), provider.Svix("whsec_AA"), provider.GitLab("whsec_AAAA"),
		provider.Adyen("0a0b0c"), provider.StandardWebhooks("whsec_"+key, "whsec_AAAA"),
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "is shorter than 4 bytes") {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}
