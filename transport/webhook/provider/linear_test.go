package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func linearSample() sample {
	return sample{
		name: "linear", make: provider.Linear, id: "l1", wantID: hashOf(`{,"type":"Issue"}`), signed: true, header: map[string]string{"Linear-Delivery": "l1"},
		body: `{"webhookTimestamp":` + millis + `,"type":"Issue"}`, events: "l1 Issue", sign: onHeader("Linear-Signature", "", hexMAC),
	}
}

// Sign writes the time into the body.
func TestLinearSign(t *testing.T) {
	for body, want := range map[string]string{
		"{}":          `{"webhookTimestamp":` + millis + `}`,
		" { \"a\":1}": `{"webhookTimestamp":` + millis + `, "a":1}`,
		"[]":          "", "": "",
	} {
		p, r := provider.Linear(key), &provider.Request{Body: []byte(body), Time: at}
		if err := p.Sign(r, "d1"); (err == nil) != (want != "") || err == nil && string(r.Body) != want {
			t.Errorf("%q: got %s and error %v, want %q", body, r.Body, err, want)
		}
	}
}

func TestLinearHeaders(t *testing.T) {
	testHeaders(t, provider.Linear(key), []headerCase{
		{"no time in the body", header("Linear-Signature", hexMAC(body)), malformedLate},
	})
}
