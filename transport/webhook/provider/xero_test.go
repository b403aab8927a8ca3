package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Xero publishes no vector. The sample follows
// developer.xero.com/documentation/guides/webhooks/configuring-your-server.
func xeroSample() sample {
	return sample{
		name: "xero", make: provider.Xero, wantID: "7:8", signed: true,
		body: `{"events":[{"resourceId":"r1","eventDateUtc":"2017-06-21T01:15:39.902","eventType":"UPDATE","eventCategory":"INVOICE"},` +
			`{"resourceId":"r2","eventDateUtc":"2017-06-21T01:15:40.1","eventType":"CREATE","eventCategory":"CONTACT"}],` +
			`"firstEventSequence":7,"lastEventSequence":8,"entropy":"S0m3r4Nd0mt3xt"}`,
		events: "r1:UPDATE:2017-06-21T01:15:39.902 INVOICE:UPDATE\nr2:CREATE:2017-06-21T01:15:40.1 CONTACT:CREATE",
		sign:   onHeader("X-Xero-Signature", "", b64MAC),
	}
}

// An "intent to receive" with the right signature has no events. One with a wrong signature must
// get 401.
func TestXeroIntentToReceive(t *testing.T) {
	const intent = `{"events":[],"lastEventSequence":0,"firstEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}`
	p := provider.Xero(key)
	testRespond(t, p, []responseCase{{"intent", nil, intent, 0, "", 0}})
	if s := p.Answers.Forged.Status; s != 0 && s != 401 {
		t.Errorf("got %d for a wrong signature, want 401", s)
	}
	if a := p.Answers.Accepted; a.Status != 200 || len(a.Body) != 0 || a.Header != nil {
		t.Errorf("got %+v, want 200 without a body or a header", a)
	}
}
