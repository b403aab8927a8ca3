package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A body that does not match Payload is one event.
func TestPayload(t *testing.T) {
	id, kind := provider.Source{Path: []string{"id"}}, provider.Source{Path: []string{"kind", "type"}}
	array := provider.Payload{Items: "@this", ID: id, Type: kind}
	inside := provider.Payload{Items: "data.items", ID: id, Type: kind}
	nested := provider.Payload{Items: "entry.#.changes|@flatten", ID: id}
	form := provider.Payload{Form: "payload", ID: id}
	for _, c := range []struct {
		name, contentType string
		payload           provider.Payload
		body              string
		want              []string // id, type and data
	}{
		{"one", "application/json", provider.Payload{ID: id, Type: kind}, `{"id":1,"type":"t"}`, []string{`1 t {"id":1,"type":"t"}`}},
		{"a null id", "", provider.Payload{ID: id}, `{"id":null}`, []string{`  {"id":null}`}},
		{"not JSON", "text/plain", provider.Payload{ID: id}, `id`, []string{`  id`}},
		{"empty", "text/plain", provider.Payload{ID: id}, ``, []string{`  `}},
		{"the first of two", "", provider.Payload{ID: id}, `{"id":1,"id":2}`, []string{`1  {"id":1,"id":2}`}},
		{"array", "application/json", array, ` [ {"id":"a","kind":"k"} , {"id":"b"},3,[] ] `, []string{`a k {"id":"a","kind":"k"}`, `b  {"id":"b"}`, `  3`, `  []`}},
		{"empty array", "application/json", array, `[]`, nil},
		{"not an array", "application/json", array, `{"id":"a"}`, []string{`a  {"id":"a"}`}},
		{"an object that looks like an array", "application/json", array, `{"#":"a"}`, []string{`  {"#":"a"}`}},
		{"broken array", "application/json", array, `[{"id":"a"},`, []string{`  [{"id":"a"},`}},
		{"array with trailing data", "application/json", array, `[1][2]`, []string{`  [1][2]`}},
		{"broken element", "application/json", array, `[{"id":x}]`, []string{`  [{"id":x}]`}},
		{"inside", "", inside, `{"data":{"items":[{"id":"a"},{"id":"b"}]}}`, []string{`a  {"id":"a"}`, `b  {"id":"b"}`}},
		{"a string inside", "", inside, `{"data":{"items":"[1]"}}`, []string{`  1`}},
		{"nested", "", nested, `{"entry":[{"changes":[{"id":1},{"id":2}]},{"changes":[{"id":3}]}]}`, []string{`1  {"id":1}`, `2  {"id":2}`, `3  {"id":3}`}},
		{"lines", "application/x-ndjson; charset=utf-8", array, "{\"id\":1}\r\n\n{\"id\":2}", []string{`1  {"id":1}`, `2  {"id":2}`}},
		{"a broken line", "application/x-ndjson", array, "{\"id\":1}\n{\"id\":", []string{"  {\"id\":1}\n{\"id\":"}},
		{"lines of another type", "application/json", array, "{\"id\":1}\r\n\n{\"id\":2}\n", []string{`1  {"id":1}`, `2  {"id":2}`}},
		{"lines without a type", "", inside, "{\"id\":1}\n{\"id\":2}", []string{`1  {"id":1}`, `2  {"id":2}`}},
		{"an object on several lines", "application/json", array, "{\n\"id\":1\n}\n", []string{"1  {\n\"id\":1\n}\n"}},
		{"lines of text", "text/plain", array, "1\n2\n", []string{"  1\n2\n"}},
		{"lines, one of them broken", "application/json", array, "{\"id\":1}\n{\"id\":", []string{"  {\"id\":1}\n{\"id\":"}},
		{"byte order mark", "application/json", provider.Payload{ID: id, Type: kind}, "\ufeff{\"id\":1,\"type\":\"t\"}", []string{"1 t \ufeff{\"id\":1,\"type\":\"t\"}"}},
		{"byte order mark before an array", "application/json", array, "\ufeff[{\"id\":1}]", []string{`1  {"id":1}`}},
		{"byte order mark before an array inside", "", inside, "\ufeff{\"data\":{\"items\":[{\"id\":1}]}}", []string{`1  {"id":1}`}},
		{"byte order mark before lines", "application/x-ndjson", array, "\ufeff{\"id\":1}\n{\"id\":2}", []string{`1  {"id":1}`, `2  {"id":2}`}},
		{"byte order mark before lines of another type", "", array, "\ufeff{\"id\":1}\n{\"id\":2}", []string{`1  {"id":1}`, `2  {"id":2}`}},
		{"a form", "application/x-www-form-urlencoded; charset=utf-8", form, "payload=%7B%22id%22%3A1%7D&a=b", []string{`1  {"id":1}`}},
		{"another form", "application/x-www-form-urlencoded", form, "a=b", []string{`  a=b`}},
		{"a broken form", "application/x-www-form-urlencoded", form, "payload=%", []string{`  payload=%`}},
		{"not a form", "text/plain", form, "payload=1", []string{`  payload=1`}},
		{"a malformed type", "application/x-www-form-urlencoded;=", form, "payload=1", []string{`  payload=1`}},
		{"fields of a form", "", provider.Payload{ID: provider.Source{Form: []string{"a", "b"}}}, "b=1&a=", []string{`1  b=1&a=`}},
		{"fields of a broken form", "", provider.Payload{ID: provider.Source{Form: []string{"a"}}}, "a=1;", []string{`  a=1;`}},
	} {
		p := &provider.Provider{Name: "x", Scheme: provider.Unsigned{}, Payload: c.payload}
		r := &provider.Request{Header: header(), Body: []byte(c.body)}
		r.Header.Set("Content-Type", c.contentType)
		d, err := p.Receive(r)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range d.Events {
			got = append(got, fmt.Sprintf("%s %s %s", e.ID, e.Type, e.Data))
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") || len(got) != len(c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Events are subslices of the body, with no capacity beyond their own data.
func TestEventsShareTheBody(t *testing.T) {
	body := []byte(`{"a":[{"id":1},{"id":2}]}`)
	p := &provider.Provider{Name: "x", Scheme: provider.Unsigned{}, Payload: provider.Payload{Items: "a"}}
	d, err := p.Receive(&provider.Request{Header: header(), Body: body})
	if err != nil || len(d.Events) != 2 {
		t.Fatalf("got %+v and error %v, want 2 events", d, err)
	}
	if &d.Events[1].Data[0] != &body[15] {
		t.Error("second event: got a copy, want a subslice of the body")
	}
	_ = append(d.Events[0].Data, "xxx"...)
	if string(d.Events[1].Data) != `{"id":2}` {
		t.Errorf("second event after an append to the first: got %s, want it unchanged", d.Events[1].Data)
	}
}
