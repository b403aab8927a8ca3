package provider_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// An entry with several changes is several events, of which each says what the entry does.
func TestMetaChanges(t *testing.T) {
	p := provider.Meta("", key)
	for _, c := range []struct {
		entries string
		want    []string // type and data
	}{
		{`{"id":"1","changes":[{"field":"feed"}]}`, []string{`feed {"id":"1","changes":[{"field":"feed"}]}`}},
		{
			`{"id":"1","changes": [ {"field":"feed","value":[1]} , {"field":"likes"}], "time":2} ,{"id":"2","changes":[{"field":"name"}]}`,
			[]string{
				`feed {"id":"1","changes": [{"field":"feed","value":[1]}], "time":2}`,
				`likes {"id":"1","changes": [{"field":"likes"}], "time":2}`,
				`name {"id":"2","changes":[{"field":"name"}]}`,
			},
		},
		{ // what looks like the changes is not always them
			`{"value":[{"field":"a"},{"field":"b"}],"changes":[{"field":"a"},{"field":"b"}]}`,
			[]string{
				`a {"value":[{"field":"a"},{"field":"b"}],"changes":[{"field":"a"}]}`,
				`b {"value":[{"field":"a"},{"field":"b"}],"changes":[{"field":"b"}]}`,
			},
		},
		{`{"\u0063hanges":[{"field":"a"},{"field":"b"}]}`, []string{`a {"\u0063hanges":[{"field":"a"}]}`, `b {"\u0063hanges":[{"field":"b"}]}`}},
		{`{"messaging":[{"mid":"a"},{"mid":"b"}]}`, []string{` {"messaging":[{"mid":"a"}]}`, ` {"messaging":[{"mid":"b"}]}`}},
		{`{"changes":[]},{"changes":{"#":2}},{"changes":"[1,2]"},7`, []string{` {"changes":[]}`, ` {"changes":{"#":2}}`, ` {"changes":"[1,2]"}`, ` 7`}},
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
