package provider_test

import (
	"strings"
	"testing"

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
