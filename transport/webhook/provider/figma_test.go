package provider_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Figma documents a passcode and no signature. The body is shortened from that of
// developers.figma.com/docs/rest-api/webhooks-events.
func figmaSample() sample {
	const body = `{"event_type":"FILE_UPDATE","file_key":"zH4s8x2hLzbeEsuq7ZX2","passcode":"` + key + `","timestamp":"2020-02-23T20:27:16Z","webhook_id":"22"}`
	return sample{
		name: "figma", make: provider.Figma, body: body, wantID: hashOf(body), proof: transport.ProofBearer, events: " FILE_UPDATE",
	}
}

func TestFigma(t *testing.T) {
	p := provider.Figma(key)
	for _, c := range []struct {
		body   string
		ok     bool
		forged bool
		events int
	}{
		{`{"event_type":"FILE_DELETE","passcode":"` + key + `"}`, true, false, 1},
		{`{"event_type":"PING","passcode":"` + key + `"}`, true, false, 0},
		{`{"event_type":"PING","passcode":"other"}`, false, true, 0},
		{`{"event_type":"PING"}`, false, false, 0},
		{`{"passcode":"` + key + `","passcode":"other"}`, false, false, 0},
		{`{"passcode":"` + key + `","Passcode":"other"}`, false, false, 0},
		{`{"passcode":"` + key, false, false, 0},
	} {
		d, err := p.Receive(&provider.Request{Method: "POST", Header: header(), Body: []byte(c.body), Time: at})
		if (err == nil) != c.ok || forged(err) != c.forged || err == nil && len(d.Events) != c.events {
			t.Errorf("%s: got %+v and error %v, want success %t, %d events", c.body, d, err, c.ok, c.events)
		}
	}
	for name, a := range map[string]provider.Answer{"Forged": p.Answers.Forged, "Malformed": p.Answers.Malformed} {
		if a.Status != 503 {
			t.Errorf("%s: got %d, want 503: after a 400, Figma stops the webhook", name, a.Status)
		}
	}
	if err := provider.Figma("figd_hush").Validate(); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("a personal access token: got error %v, want one without it", err)
	}
}
