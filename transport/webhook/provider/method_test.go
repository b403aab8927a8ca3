package provider_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A GET has its payload in the query, as Vonage's receipts do; Zendesk sends what its user chooses.
func TestMethods(t *testing.T) {
	zendesk := provider.Zendesk(key)
	zendesk.Methods = []string{"POST", "PUT", "GET"}
	for method, want := range map[string]bool{"POST": true, "PUT": true, "GET": true, "DELETE": false, "HEAD": false} {
		if zendesk.Accepts(method) != want {
			t.Errorf("Accepts(%q): got %v", method, !want)
		}
	}
	if p := provider.Zendesk(key); !p.Accepts("POST") || p.Accepts("PUT") {
		t.Error("the default is not POST")
	}
	for _, c := range []struct {
		method, body, url, data string
		proof                   transport.Proof
	}{
		{"PUT", `{"type":"a"}`, "https://example.com/?x=1", `{"type":"a"}`, transport.ProofBody},
		{"PUT", "", "https://example.com/?x=1", "", transport.ProofBody},
		{"GET", "", "https://example.com/?x=1&y=%20", "x=1&y=%20", transport.ProofMetadata},
		{"GET", "", "https://example.com/", "", transport.ProofMetadata},
		{"GET", `{"type":"a"}`, "https://example.com/?x=1", `{"type":"a"}`, transport.ProofBody},
	} {
		r := &provider.Request{Method: c.method, URL: c.url, Header: header(), Body: []byte(c.body), Time: at}
		if err := zendesk.Sign(r, "1"); err != nil {
			t.Fatal(err)
		}
		d := wantKind(t, zendesk, r, "none")
		if string(d.Events[0].Data) != c.data || d.Proof != c.proof || d.Signed {
			t.Errorf("%s %s: got %q, %v, signed %v, want %q, %v", c.method, c.url, d.Events[0].Data, d.Proof, d.Signed, c.data, c.proof)
		}
	}

	// A signature of the URL covers the query.
	p := &provider.Provider{Name: "x", Methods: []string{"GET"}, Scheme: provider.Signature{Header: "S", Signed: "{url}{body}"}}
	p.Payload = provider.Payload{ID: provider.Source{Form: []string{"messageId"}}, Type: provider.Source{Query: "status"}}
	p.SetSecrets(key)
	r := get("messageId=m1&status=delivered")
	if err := p.Sign(r, ""); err != nil {
		t.Fatal(err)
	}
	if d := wantKind(t, p, r, "none"); d.Proof != transport.ProofBody || describe(d.Events) != "m1 delivered" {
		t.Errorf("got %v, %s", d.Proof, describe(d.Events))
	}
	r.URL += "&status=failed"
	wantKind(t, p, r, "forged")

	// The token in a query is no part of the event.
	p.Scheme = provider.Token{Query: "token"}
	p.SetSecrets(key)
	if d := wantKind(t, p, get("a=1&%74oken="+key+"&b=2"), "none"); string(d.Events[0].Data) != "a=1&b=2" {
		t.Errorf("got %q, want the query without the token", d.Events[0].Data)
	}
	if d := wantKind(t, p, get("token="+key), "none"); len(d.Events[0].Data) != 0 {
		t.Errorf("got %q, want an empty query", d.Events[0].Data)
	}
}

// Newline-delimited JSON is recognized whatever its media type is.
func TestNDJSONOfAnyType(t *testing.T) {
	p := &provider.Provider{Name: "x", Scheme: provider.Unsigned{}, Payload: provider.Payload{Items: "@this", ID: provider.Source{Path: []string{"id"}}}}
	for _, media := range []string{
		"application/x-ndjson", "application/json", "text/plain; charset=utf-8", "application/octet-stream", "application/json-seq", "x", "",
	} {
		for body, want := range map[string]string{
			"{\"id\":1}\n{\"id\":2}":                   "1 \n2 ",
			"\xef\xbb\xbf{\"id\":1}\r\n{\"id\":2}\r\n": "1 \n2 ",
			"{\"id\":1}\n\n {\"id\":2}\n":              "1 \n2 ",
			"[{\"id\":1},\n{\"id\":2}]":                "1 \n2 ",
			"[{\"id\":1}\n]":                           "1 ",
			"{\n\"id\":1}":                             "1 ",
			"{\"id\":1}\n":                             "1 ",
		} {
			r := &provider.Request{Method: "POST", Header: http.Header{"Content-Type": {media}}, Body: []byte(body), Time: at}
			if media == "application/x-ndjson" && strings.HasPrefix(body, "{\n") {
				continue // it is what its type says
			}
			if got := describe(wantKind(t, p, r, "none").Events); got != want {
				t.Errorf("%s as %q: got %q, want %q", body, media, got, want)
			}
		}
	}
}

// The id of an event identifies it among deliveries only if a forger cannot choose it.
func TestUnique(t *testing.T) {
	ce := func(scheme provider.Scheme) *provider.Provider {
		p := provider.CloudEvents(nil, key)
		p.Scheme = scheme
		return p
	}
	binary := header("Ce-Id", "1", "Ce-Source", "/a%2Fb")
	structured := http.Header{"Content-Type": {"application/cloudevents+json"}}
	for name, c := range map[string]struct {
		p      *provider.Provider
		h      http.Header
		body   string
		unique bool
	}{
		"the id of an event in a bearer's header": {ce(provider.Token{Header: "X-T"}), binary, `{}`, true},
		"the id of an event in a signed body":     {ce(provider.Signature{Header: "X-T"}), structured, `{"source":"/","id":"1"}`, true},
		"an unsigned header and a signed body":    {ce(provider.Signature{Header: "X-T"}), binary, `{}`, false},
		"sendgrid":                                {provider.SendGrid(privatePEM(ecKey())), header(), `[{"sg_event_id":"a"}]`, true},
		"line":                                    {provider.LINE(key), header(), `{"events":[{"webhookEventId":"a"}]}`, true},
		"eventgrid":                               {provider.AzureEventGrid(nil, key), header(), `[{"id":"a"}]`, true},
		"hubspot":                                 {provider.HubSpot(key), header(), `[{"eventId":1}]`, false},
		"mailgun":                                 {uniqueMailgun(), header(), `{"event-data":{"id":"a"}}`, false},
	} {
		r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: c.h, Body: []byte(c.body), Time: at}
		if err := c.p.Sign(r, "d1"); err != nil {
			t.Fatal(err)
		}
		if d := wantKind(t, c.p, r, "none"); d.Unique != c.unique || d.Events[0].ID == "" {
			t.Errorf("%s: got %+v, want Unique %v", name, d, c.unique)
		}
	}
	p := provider.CloudEvents(nil)
	p.Scheme = provider.Unsigned{}
	ids := map[string]bool{}
	for _, source := range []string{"/a%2Fb", "/a/b"} {
		r := &provider.Request{Method: "POST", Header: header("Ce-Id", "1", "Ce-Source", source), Time: at}
		ids[wantKind(t, p, r, "none").Events[0].ID] = true
	}
	for _, source := range []string{`/a%2Fb`, `\/a\/b`} {
		r := &provider.Request{Method: "POST", Header: structured, Body: []byte(`{"id":"1","source":"` + source + `"}`), Time: at}
		ids[wantKind(t, p, r, "none").Events[0].ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("got the ids %v, want /a%%2Fb and /a/b", ids)
	}
	// Two topics of Event Grid may use one id.
	grid := provider.AzureEventGrid(nil, key)
	r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: header(), Time: at,
		Body: []byte(`[{"id":"1","topic":"/a","eventType":"x"},{"id":"1","topic":"/b","eventType":"y"},{"id":"2"}]`)}
	if err := grid.Sign(r, ""); err != nil {
		t.Fatal(err)
	}
	if got := describe(wantKind(t, grid, r, "none").Events); got != "/a 1 x\n/b 1 y\n2 " {
		t.Errorf("got %q", got)
	}
}

func uniqueMailgun() *provider.Provider {
	p := provider.Mailgun(key)
	p.Payload.Unique = true
	return p
}

func TestBase64URL(t *testing.T) {
	p := &provider.Provider{Name: "x", Scheme: provider.Signature{Header: "S", Encoding: provider.EncodingBase64URL}}
	p.SetSecrets(key)
	sum, _ := base64.StdEncoding.DecodeString(b64MAC(body)) // has + and / below
	plain := base64.RawURLEncoding.EncodeToString(sum)
	for text, want := range map[string]string{
		plain:                                  "none",
		plain + "=":                            "none",
		plain + "==":                           "malformed",
		plain + "\n":                           "malformed",
		strings.Repeat("A", 42) + "B":          "malformed", // a stray bit
		plain[:42]:                             "malformed",
		base64.StdEncoding.EncodeToString(sum): map[bool]string{true: "malformed", false: "none"}[strings.ContainsAny(b64MAC(body), "+/")],
		strings.Repeat("A", 43):                "forged",
	} {
		r := &provider.Request{Method: "POST", Header: header("S", text), Body: []byte(body), Time: at}
		wantKind(t, p, r, want)
	}
	r := &provider.Request{Method: "POST", Header: header(), Body: []byte(body), Time: at}
	if p.Sign(r, ""); r.Header.Get("S") != plain {
		t.Errorf("Sign: got %q, want %q", r.Header.Get("S"), plain)
	}
	for _, secret := range []string{"_-8A", "_-8", "_-8="} {
		k := &provider.Provider{Name: "x", Scheme: provider.Signature{Header: "S", Key: provider.EncodingBase64URL}}
		if err := k.SetSecrets("AAAA" + secret); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
	}
	k := &provider.Provider{Name: "x", Scheme: provider.Signature{Header: "S", Key: provider.EncodingBase64URL}}
	if err := k.SetSecrets("AAAA+/8A"); err == nil {
		t.Error("the standard alphabet is accepted for a key")
	}
}

// One of several headers with a signature is enough, and none may be malformed or repeated.
func TestMoreHeaders(t *testing.T) {
	p := &provider.Provider{Name: "x", Scheme: provider.Signature{Header: "S-1", More: []string{"s-2", "S-3"}, Prefix: "v1="}}
	p.SetSecrets(key, "another secret")
	right, wrong := "v1="+hexMAC(body), "v1="+strings.Repeat("0", 64)
	for _, c := range []struct {
		pairs []string
		want  string
	}{
		{[]string{"S-1", right}, "none"},
		{[]string{"S-3", right}, "none"},
		{[]string{"S-1", wrong, "S-2", wrong, "S-3", right}, "none"},
		{[]string{"S-1", right, "S-2", wrong}, "none"},
		{[]string{"S-1", "v2=x", "S-2", right}, "none"},
		{[]string{"S-1", wrong, "S-2", wrong}, "forged"},
		{[]string{"S-1", right, "S-2", "v1=x"}, "malformed"},
		{[]string{"S-1", right, "S-2", ""}, "malformed"},
		{[]string{"S-2", right, "S-2", right}, "malformed"},
		{[]string{"S-1", "v2=x"}, "malformed"},
		{[]string{"S-4", right}, "malformed"},
	} {
		r := &provider.Request{Method: "POST", Header: header(c.pairs...), Body: []byte(body), Time: at}
		_, err := p.Receive(r)
		if got := refusalOf(err); got != c.want {
			t.Errorf("%q: got %s (%v), want %s", c.pairs, got, err, c.want)
		}
	}
	if got := p.CredentialHeaders(); !slices.Equal(got, []string{"S-1", "S-2", "S-3"}) {
		t.Errorf("CredentialHeaders: got %q", got)
	}
	p.Scheme = provider.Signature{Header: "S-1", More: []string{""}}
	if err := p.SetSecrets(key); err == nil {
		t.Error("an empty name in More is accepted")
	}
}
