package provider_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Where the body as a whole is not signed, one that two programs would read differently is
// refused.
func TestAmbiguousBodiesAreRefused(t *testing.T) {
	mailgun := `"signature":{"timestamp":"` + seconds + `","token":"tok","signature":"` + hexMAC(seconds+"tok") + `"}`
	adyen := adyenSample()
	for _, c := range []struct {
		name string
		p    *provider.Provider
		body string
		ok   bool
	}{
		{"mailgun", provider.Mailgun(key), `{` + mailgun + `,"a":[{"b":1},{"b":"b"},{}],"b":{"a":{}}}`, true},
		{"mailgun, duplicate", provider.Mailgun(key), `{` + mailgun + `,"signature":{}}`, false},
		{"mailgun, in another case", provider.Mailgun(key), `{` + mailgun + `,"\u017fignature":{}}`, false},
		{"mailgun, in a nested object", provider.Mailgun(key), `{` + mailgun + `,"a":[[{"b":1,"c":[],"B":2}]]}`, false},
		{"mailgun, more than one value", provider.Mailgun(key), `{` + mailgun + `}{}`, false},
		{"mailgun, deep", provider.Mailgun(key), `{` + mailgun + `,"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, false},
		{"adyen", provider.Adyen(adyenKey), adyen.body, true},
		{"adyen, duplicate", provider.Adyen(adyenKey), strings.Replace(adyen.body, `"success":"true"`, `"success":"true","SUCCESS":"false"`, 1), false},
		{"adyen, one unsigned", provider.Adyen(adyenKey), strings.Replace(adyen.body, `"p2"`, `"p3"`, 1), false},
		{"adyen, none", provider.Adyen(adyenKey), `{"notificationItems":[]}`, false},
		{"adyen, not an object", provider.Adyen(adyenKey), `{"notificationItems":[{"NotificationRequestItem":[]}]}`, false},
		{"graph, one without clientState", provider.MicrosoftGraph(key), `{"value":[{"clientState":"` + key + `"},{}]}`, false},
		{"graph, none", provider.MicrosoftGraph(key), `{"value":[]}`, false},
		{"graph, duplicate", provider.MicrosoftGraph(key), `{"value":[{"clientState":"` + key + `"}],"value":[{}]}`, false},
	} {
		_, err := c.p.Receive(&provider.Request{Method: "POST", Header: header(), Body: []byte(c.body), Time: at})
		if (err == nil) != c.ok {
			t.Errorf("%s: got error %v, want success %t", c.name, err, c.ok)
		}
	}
}

// The type of an event is read before, and without, the rest of the payload.
func TestEarlyField(t *testing.T) {
	for _, c := range []struct {
		object, name, want string
		ok                 bool
	}{
		{`{"type":"a"}`, "type", "a", true},
		{"{ \"id\" : 1 ,\n\t\"type\" : \"a\" , \"x\":y}", "type", "a", true},
		{`{"a":{"type":"}"},"b":["\"]",{}],"c":null,"d":"\\","type":"","type":"b"}`, "type", "", true},
		{`{"type":"ä","data":{]}`, "type", "ä", true},
		{" {\"type\":\"a\"}\r\n", "type", "a", true},
		{`{"type":1}`, "type", "", false},
		{`{"type":"a\u0062"}`, "type", "a\\u0062", false},
		{`{"ty\u0070e":"a","type":"b"}`, "type", "", false},
		{"{\"type\":\"a\x01\"}", "type", "a\x01", false},
		{`{"data.type":"a"}`, "data.type", "", false},
		{`{"#":"a"}`, "#", "", false},
		{`{"a":1}`, "type", "", false},
		{`{"type":"a"`, "type", "", false},
		{`{"type":"a"}{"`, "type", "", false},
		{`["type","a"]`, "type", "", false},
		{`{"a":,"type":"a"}`, "type", "", false},
		{`{"a" 1,"type":"a"}`, "type", "", false},
		{`{"a":"b" "type":"a"}`, "type", "", false},
		{`{"a":[,"type":"a"}`, "type", "", false},
		{`{"a":"b,"type":"a\"}`, "type", "", false},
		{`{,"type":"a"}`, "type", "", false},
		{`{"}`, "type", "", false},
		{`{`, "type", "", false},
		{``, "type", "", false},
	} {
		got, ok := provider.EarlyField([]byte(c.object), c.name)
		if got != c.want || ok != c.ok {
			t.Errorf("%s of %s: got %q, %t, want %q, %t", c.name, c.object, got, ok, c.want, c.ok)
		}
	}
}

// FuzzEarlyField compares earlyField with package decode, which reads the whole payload.
func FuzzEarlyField(f *testing.F) {
	for _, s := range []string{
		`{"type":"a","data":{}}`, `{"a":[1,{"b":"]\\"}],"c":"\\\"","type":"a"}`, `{"ty\u0070e":"a","type":"b"}`,
		`{"a":1e3 , "b":null,"type":"\u00e4"}`, "{\"type\":\"\x01\"}", `{"a":"}","type":"ä"}`, `{"type":{"type":"a"}}`,
	} {
		f.Add([]byte(s), "type")
	}
	f.Add([]byte(`{"a.b":"c","a":{"b":"d"}}`), "a.b")
	f.Add([]byte(`{"a|b":"c"}`), "a|b")
	f.Fuzz(func(t *testing.T, object []byte, name string) {
		got, ok := provider.EarlyField(object, name)
		if want := decode.Field(object, name); ok && json.Valid(object) && got != want {
			t.Errorf("%q of %q: got %q, want %q", name, object, got, want)
		}
	})
}
