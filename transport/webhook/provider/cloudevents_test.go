package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func cloudEventsSamples() []sample {
	return []sample{
		{
			name: "cloudevents batch", make: func(s ...string) *provider.Provider { return provider.CloudEvents(nil, s...) },
			proof: transport.ProofBearer, header: map[string]string{"Content-Type": "application/cloudevents-batch+json; charset=utf-8"},
			body: `[{"id":"1","source":"/a","type":"T"},{"id":"2","source":"/b","type":"U"}]`, events: "/a 1 T\n/b 2 U",
			sign: onHeader("Authorization", "", func(string) string { return "Bearer " + key }),
		},
		{
			name: "cloudevents binary", make: func(s ...string) *provider.Provider { return provider.CloudEvents(nil, s...) },
			proof: transport.ProofBearer, header: map[string]string{"Ce-Id": "1%20", "Ce-Source": "/a", "Ce-Type": "T%C3%A9"},
			body: `[1,2]`, events: "/a 1%20 Té", sign: onHeader("Authorization", "", func(string) string { return "bearer " + key }),
		},
	}
}

func TestCloudEventsModes(t *testing.T) {
	p := provider.CloudEvents(nil)
	p.Scheme = provider.Unsigned{}
	for _, c := range []struct{ contentType, body, want string }{
		{"application/cloudevents+json; charset=utf-8", `{"id":"1","source":"/a","type":"T"}`, "/a 1 T"},
		{"application/cloudevents-batch+json", `[]`, ""},
		{"application/cloudevents-batch+json", `{`, " "},
		{"application/cloudevents+avro", `x`, " "},
	} {
		r := &provider.Request{Header: header(), Body: []byte(c.body)}
		r.Header.Set("Content-Type", c.contentType)
		d, err := p.Receive(r)
		if err != nil || describe(d.Events) != c.want {
			t.Errorf("%s: got %+v and error %v, want %q", c.contentType, d, err, c.want)
		}
	}
}

// Quoted header values, which older senders write, must be supported (section 3.1.3.2 of the
// HTTP binding).
func TestCloudEventsType(t *testing.T) {
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
			t.Errorf("%s: got type %q, want %q", value, got, want)
		}
	}
}

// Ids are not decoded: two events of a sender that does not percent-encode its headers would
// get one id, and the second would be dropped as a duplicate.
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
			t.Errorf("%q and %q: got the id %q twice, want different ids", pair, other, id)
		}
		seen[id] = pair
	}
	structured := &provider.Request{Method: "POST", Body: []byte(`{"source":"/a b","id":"c"}`), Header: http.Header{
		"Authorization": {"Bearer " + key}, "Content-Type": {"application/cloudevents+json"},
	}}
	if d, err := p.Receive(structured); err != nil || d.Events[0].ID != `"/a b" c` {
		t.Errorf("got %+v and error %v, want a quoted source", d, err)
	}
}

func TestCloudEventsHandshake(t *testing.T) {
	const origin = "WebHook-Request-Origin"
	some := provider.CloudEvents([]string{"eventgrid.azure.net"}, key)
	all := provider.AzureEventGrid([]string{"*"}, key)
	for _, c := range []struct {
		p       *provider.Provider
		asked   []string
		status  int
		allowed string
	}{
		{some, []string{"eventgrid.azure.net"}, 200, "eventgrid.azure.net"},
		{some, []string{"evil.eventgrid.azure.net"}, 403, ""},
		{some, []string{"eventgrid.azure.net", "eventgrid.azure.net"}, 403, ""},
		{some, []string{"*"}, 403, ""},
		{all, []string{"any.example"}, 200, "*"},
		{provider.CloudEvents(nil, key), []string{""}, 403, ""},
	} {
		r := &provider.Request{Method: "OPTIONS", URL: "https://example.com/", Header: http.Header{}}
		r.Header["Webhook-Request-Rate"] = []string{"100"}
		for _, o := range c.asked {
			r.Header.Add(origin, o)
		}
		a, ok := handshake(c.p, r)
		if !ok || a.Status != c.status || a.Header.Get("WebHook-Allowed-Origin") != c.allowed {
			t.Errorf("%q: got %+v, want status %d and origin %q", c.asked, a, c.status, c.allowed)
		}
		if c.status == 200 && (a.Header.Get("WebHook-Allowed-Rate") != "*" || a.Header.Get("Allow") != "POST") {
			t.Errorf("%q: got header %v, want any rate and POST", c.asked, a.Header)
		}
	}
	if _, ok := handshake(some, &provider.Request{Method: "OPTIONS", Header: http.Header{}}); ok {
		t.Error("OPTIONS without an origin: got an answer, want none")
	}
}
