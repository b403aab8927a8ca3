package provider_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func metaSample() sample {
	return sample{
		name: "meta", make: func(s ...string) *provider.Provider { return provider.Meta("verify", s...) },
		body:   `{"object":"page","entry":[{"id":"1","changes":[{"field":"feed"}]},{"id":"2","messaging":[]}]}`,
		wantID: hashOf(`{"object":"page","entry":[{"id":"1","changes":[{"field":"feed"}]},{"id":"2","messaging":[]}]}`), signed: true,
		events: " page.feed\n page", sign: onHeader("X-Hub-Signature-256", "sha256=", hexMAC),
	}
}

// An entry with several changes is several events, each a copy of the entry with one change.
func TestMetaEvents(t *testing.T) {
	p := provider.Meta("", key)
	for _, c := range []struct {
		entries string
		want    []string // type of page and data
	}{
		{`{"id":"1","changes":[{"field":"feed"}]}`, []string{`page.feed {"id":"1","changes":[{"field":"feed"}]}`}},
		{
			`{"id":"1","changes": [ {"field":"feed","value":[1]} , {"field":"likes"}], "time":2} ,{"id":"2","changes":[{"field":"name"}]}`,
			[]string{
				`page.feed {"id":"1","changes": [{"field":"feed","value":[1]}], "time":2}`,
				`page.likes {"id":"1","changes": [{"field":"likes"}], "time":2}`,
				`page.name {"id":"2","changes":[{"field":"name"}]}`,
			},
		},
		{ // another member with the same value
			`{"value":[{"field":"a"},{"field":"b"}],"changes":[{"field":"a"},{"field":"b"}]}`,
			[]string{
				`page.a {"value":[{"field":"a"},{"field":"b"}],"changes":[{"field":"a"}]}`,
				`page.b {"value":[{"field":"a"},{"field":"b"}],"changes":[{"field":"b"}]}`,
			},
		},
		{`{"\u0063hanges":[{"field":"a"},{"field":"b"}]}`, []string{`page.a {"\u0063hanges":[{"field":"a"}]}`, `page.b {"\u0063hanges":[{"field":"b"}]}`}},
		{`{"messaging":[{"mid":"a"},{"mid":"b"}]}`, []string{`page.messaging {"messaging":[{"mid":"a"}]}`, `page.messaging {"messaging":[{"mid":"b"}]}`}},
		{`{"changes":[]},{"changes":{"#":2}},{"changes":"[1,2]"},7`, []string{`page {"changes":[]}`, `page {"changes":{"#":2}}`, `page {"changes":"[1,2]"}`, `page 7`}},
	} {
		var lists []string
		if err := sendMeta(p, `{"object":"page","entry":[`+c.entries+`]}`, func(e provider.Event) {
			lists = append(lists, fmt.Sprintf("%s %s", e.Type, e.Data))
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(lists, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.entries, strings.Join(lists, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

// The type of an event includes the object that has changed.
func TestMetaType(t *testing.T) {
	p := provider.Meta("", key)
	for body, want := range map[string]string{
		`{"object":"instagram","entry":[{"changes":[{"field":"comments"}]}]}`:                 "instagram.comments",
		`{"object":"instagram","entry":[{"messaging":[{"message":{}}]}]}`:                     "instagram.messaging",
		`{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages"}]}]}`: "whatsapp_business_account.messages",
		`{"object":"user","entry":[{"changed_fields":["photos"]}]}`:                           "user",
		`{"entry":[{"changes":[{"field":"feed"}]}]}`:                                          "feed",
		`{"object":"page"}`: "",
	} {
		if err := sendMeta(p, body, func(e provider.Event) {
			if e.Type != want {
				t.Errorf("%s: got type %q, want %q", body, e.Type, want)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func sendMeta(p *provider.Provider, body string, yield func(provider.Event)) error {
	r := &provider.Request{Method: "POST", Header: header(), Body: []byte(body)}
	if err := p.Sign(r, ""); err != nil {
		return err
	}
	d, err := p.Receive(r)
	if err != nil {
		return err
	}
	for _, e := range d.Events {
		yield(e)
	}
	return nil
}

func TestMetaHandshake(t *testing.T) {
	testHandshake(t, provider.Meta("to:ken", key), []handshakeCase{
		{get("hub.mode=subscribe&hub.verify_token=to%3Aken&hub.challenge=1158201444"), 200, "1158201444"},
		{get("hub.mode=subscribe&hub.verify_token=to%3Aken&hub.challenge=%3Cscript%3E"), 400, ""},
		{get("hub.mode=subscribe&hub.verify_token=to%3Aken&hub.challenge=" + strings.Repeat("1", 513)), 400, ""},
		{get("hub.mode=subscribe&hub.verify_token=other&hub.challenge=1158201444"), 403, ""},
		{get("hub.mode=subscribe&hub.challenge=1158201444"), 403, ""},
		{get(""), 0, ""},
	})
	testHandshake(t, provider.Meta("", key), []handshakeCase{
		{get("hub.mode=subscribe&hub.verify_token=&hub.challenge=1158201444"), 403, ""},
	})
}
