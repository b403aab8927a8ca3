package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func get(url string) *provider.Request {
	return &provider.Request{Method: "GET", URL: "https://example.com/hook?" + url, Header: http.Header{}, Time: at}
}

// handshake calls p's Handshake, if it has one.
func handshake(p *provider.Provider, r *provider.Request) (*provider.Answer, bool) {
	if p.Handshake == nil {
		return nil, false
	}
	return p.Handshake(r)
}

func checkAnswer(t *testing.T, name string, a *provider.Answer, status int, body string) {
	t.Helper()
	if a == nil {
		t.Errorf("%s: no answer", name)
		return
	}
	if a.Status != status || string(a.Body) != body {
		t.Errorf("%s: %d %q", name, a.Status, a.Body)
	}
	if body == "" {
		return
	}
	want := "text/plain; charset=utf-8"
	if body[0] == '{' {
		want = "application/json"
	}
	if a.Header.Get("Content-Type") != want || a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: %v", name, a.Header)
	}
}

// TestGreet asks as each sender asks that wants to know whether a receiver is there, and
// as somebody would who wants to make use of the answer.
func TestGreet(t *testing.T) {
	meta := provider.Meta("to:ken", key)
	dropbox := provider.Dropbox(key)
	webSub := provider.WebSub(subscribed, key)
	x := provider.X("z3ZX4v7mAAUGykl3EcmkqbartmuW8VFOOzCloLx9Q45P0hLrFu")
	const crc = `{"response_token":"sha256=Cytd4Sq+NvEcV3MMrXxWJGJx5A+y/lXzzU2Maartkx8="}`
	const topic = "&hub.topic=https%3A%2F%2Fblog.example%2Ffeed&hub.lease_seconds=3600"
	for _, c := range []struct {
		p      *provider.Provider
		r      *provider.Request
		status int // 0: no greeting
		body   string
	}{
		{meta, get("hub.mode=subscribe&hub.verify_token=to%3Aken&hub.challenge=1158201444"), 200, "1158201444"},
		{meta, get("hub.mode=subscribe&hub.verify_token=to%3Aken&hub.challenge=%3Cscript%3E"), 400, ""},
		{meta, get("hub.mode=subscribe&hub.verify_token=to%3Aken&hub.challenge=" + strings.Repeat("1", 513)), 400, ""},
		{meta, get("hub.mode=subscribe&hub.verify_token=other&hub.challenge=1158201444"), 403, ""},
		{meta, get("hub.mode=subscribe&hub.challenge=1158201444"), 403, ""},
		{provider.Meta("", key), get("hub.mode=subscribe&hub.verify_token=&hub.challenge=1158201444"), 403, ""},
		{meta, get(""), 0, ""},
		{dropbox, get("challenge=abc-123"), 200, "abc-123"},
		{dropbox, get("challenge=%3Chtml%3E"), 400, ""},
		{dropbox, get("challenge="), 0, ""},
		{dropbox, get("a;b=%zz"), 0, ""},
		{webSub, get("hub.mode=subscribe&hub.challenge=a%2Bb/c%3D" + topic), 200, "a+b/c="},
		{webSub, get("hub.mode=subscribe&hub.challenge=%22" + topic), 400, ""},
		{webSub, get("hub.mode=unsubscribe&hub.challenge=abc" + topic), 404, ""},
		{webSub, get("hub.mode=denied" + topic), 200, ""},
		{webSub, get("hub.mode=publish" + topic), 0, ""},
		{webSub, get("hub.mode=subscribe&hub.challenge=abc"), 0, ""},
		{provider.WebSub(nil, key), get("hub.mode=subscribe&hub.challenge=abc" + topic), 0, ""},
		{x, get("crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553"), 200, crc},
		{x, get("crc_token=%7B%22tweet_create_events%22%3A%5B%5D%7D"), 400, ""},
		{x, get(""), 0, ""},
		{provider.GitHub(key), get("hub.challenge=1&challenge=1&crc_token=1&validationToken=1"), 0, ""},
	} {
		a, ok := handshake(c.p, c.r)
		if ok != (c.status != 0) {
			t.Errorf("%s: %s: greeted: %t", c.p.Name, c.r.URL, ok)
			continue
		}
		if ok {
			checkAnswer(t, c.p.Name+": "+c.r.URL, a, c.status, c.body)
		}
	}
}

// TestChallenge receives handshakes that come as deliveries.
func TestChallenge(t *testing.T) {
	grid := func(s ...string) *provider.Provider { return provider.AzureEventGrid(nil, s...) }
	validation := http.Header{"Aeg-Event-Type": {"SubscriptionValidation"}}
	zoom := `{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event":"endpoint.url_validation"}`
	for _, c := range []struct {
		name   string
		make   func(...string) *provider.Provider
		secret string
		header http.Header
		body   string
		status int    // 0: no answer of its own
		answer string // or the type of the event
		events int
	}{
		{"slack", provider.Slack, key, nil, `{"type":"url_verification","challenge":"3eZbrw1aB10"}`, 200, "3eZbrw1aB10", 0},
		{"slack, markup", provider.Slack, key, nil, `{"type":"url_verification","challenge":"<b>"}`, 400, "", 0},
		{"slack, an event", provider.Slack, key, nil, `{"type":"event_callback","event":{"type":"message"}}`, 0, "", 1},
		{"zoom", provider.Zoom, key, nil, zoom, 200, `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + hexMAC("qgg8vlvZRS6UYooatFL8Aw") + `"}`, 0},
		{"zoom, quotes", provider.Zoom, key, nil, `{"payload":{"plainToken":"\""},"event":"endpoint.url_validation"}`, 400, "", 0},
		{"twitch", provider.Twitch, key, http.Header{"Twitch-Eventsub-Message-Type": {"webhook_callback_verification"}}, `{"challenge":"pogchamp-kappa-360noscope"}`, 200, "pogchamp-kappa-360noscope", 0},
		{"twitch, revoked", provider.Twitch, key, http.Header{"Twitch-Eventsub-Message-Type": {"revocation"}}, `{"subscription":{"type":"a"}}`, 0, "revocation", 1},
		{"twitch, said to be revoked", provider.Twitch, key, http.Header{"Twitch-Eventsub-Message-Type": {"revocation"}}, `{"subscription":{"type":"a"},"event":{}}`, 0, "a", 1},
		{"discord, ping", provider.Discord, privatePEM(edKey), nil, `{"type":1}`, 200, `{"type":1}`, 0},
		{"discord, ping of webhook events", provider.Discord, privatePEM(edKey), nil, `{"type":0}`, 204, "", 0},
		{"discord, a command", provider.Discord, privatePEM(edKey), nil, `{"type":2,"id":"1","token":"t"}`, 200, `{"type":5}`, 1},
		{"discord, a button", provider.Discord, privatePEM(edKey), nil, `{"type":3,"id":"1","token":"t"}`, 200, `{"type":6}`, 1},
		{"discord, suggestions", provider.Discord, privatePEM(edKey), nil, `{"type":4,"id":"1","token":"t"}`, 200, `{"type":8,"data":{"choices":[]}}`, 1},
		{"discord, unknown", provider.Discord, privatePEM(edKey), nil, `{"type":77}`, 0, "", 1},
		{"event grid", grid, key, validation, `[{"id":"1","data":{"validationCode":"512d38b6-c7b8","validationUrl":"https://evil.example/"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent"}]`, 200, `{"validationResponse":"512d38b6-c7b8"}`, 0},
		{"event grid, quotes", grid, key, validation, `[{"data":{"validationCode":"\"}"}}]`, 400, "", 0},
		{"event grid, an event", grid, key, nil, `[{"data":{"validationCode":"512d38b6-c7b8"}}]`, 0, "", 1},
	} {
		p := c.make(c.secret)
		r := get("")
		r.Method, r.Body = "POST", []byte(c.body)
		for name, values := range c.header {
			r.Header[name] = values
		}
		if _, err := p.Receive(r); err == nil {
			t.Errorf("%s: answered without a proof", c.name)
		}
		if err := p.Sign(r, "d1"); err != nil {
			t.Fatal(err)
		}
		d, err := p.Receive(r)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(d.Events) != c.events {
			t.Errorf("%s: %d events", c.name, len(d.Events))
		}
		if c.status == 0 && (d.Answer != nil || c.answer != "" && d.Events[0].Type != c.answer) {
			t.Errorf("%s: %+v", c.name, d)
		} else if c.status != 0 {
			checkAnswer(t, c.name, d.Answer, c.status, c.answer)
		}
	}
}

// TestUnsignedHandshakes receives those POSTs that nothing proves.
func TestUnsignedHandshakes(t *testing.T) {
	graph := provider.MicrosoftGraph(key)
	ping := get("")
	ping.Header.Set("X-Event-Key", "diagnostics:ping")
	push := get("")
	push.Header.Set("X-Event-Key", "repo:push")
	for _, c := range []struct {
		p      *provider.Provider
		r      *provider.Request
		status int // 0: refused
		body   string
	}{
		{graph, get("validationToken=Validation%3A+Testing+client"), 200, "Validation: Testing client"},
		{graph, get("validationToken=%3Cscript%3E"), 400, ""},
		{graph, get("validationToken=a&validationToken=b"), 0, ""},
		{graph, get(""), 0, ""},
		{provider.Bitbucket(key), ping, 200, ""},
		{provider.Bitbucket(key), push, 0, ""},
	} {
		c.r.Method = "POST"
		err := c.p.Precheck(c.r)
		d, failure := c.p.Receive(c.r)
		if c.status == 0 {
			if failure == nil {
				t.Errorf("%s: %s is taken", c.p.Name, c.r.URL)
			}
			continue
		}
		if err != nil || failure != nil {
			t.Errorf("%s: %v, %v", c.p.Name, err, failure)
			continue
		}
		checkAnswer(t, c.p.Name, d.Answer, c.status, c.body)
		if d.Proof != provider.ProofNone || d.Key != -1 || d.Events != nil {
			t.Errorf("%s: %+v", c.p.Name, d)
		}
	}
}
