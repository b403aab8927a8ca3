package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func hubSpotSample() sample {
	return sample{
		name: "hubspot", make: provider.HubSpot, url: "https://example.com/a%3Fb%20c?x=%26",
		body:   `[{"eventId":1,"subscriptionId":5,"objectId":7,"occurredAt":1567790363161,"subscriptionType":"contact.creation"},{"eventId":2,"attemptNumber":0,"subscriptionType":"deal.creation"}]`,
		wantID: hashOf(`[{"eventId":1,"subscriptionId":5,"objectId":7,"occurredAt":1567790363161,"subscriptionType":"contact.creation"},{"eventId":2,,"subscriptionType":"deal.creation"}]`), signed: true,
		events: "1:5:7:1567790363161 contact.creation\n2::: deal.creation",
		sign: func(body string) map[string]string {
			text := "POSThttps://example.com/a?b%20c?x=%26" + body + millis
			return map[string]string{"X-HubSpot-Request-Timestamp": millis, "X-HubSpot-Signature-v3": b64MAC(text)}
		},
		vectors: []string{"hubspot-v3"},
	}
}

// Events with the same eventId have different IDs.
func TestHubSpotIDs(t *testing.T) {
	p := provider.HubSpot(key)
	r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: header(), Time: at, Body: []byte(
		`[{"eventId":1,"subscriptionId":5,"objectId":7,"occurredAt":1},{"eventId":1,"subscriptionId":5,"objectId":8,"occurredAt":1},` +
			`{"eventId":1,"subscriptionId":6,"objectId":7,"occurredAt":1},{"eventId":1,"subscriptionId":5,"objectId":7,"occurredAt":2},{"objectId":9}]`,
	)}
	if err := p.Sign(r, ""); err != nil {
		t.Fatal(err)
	}
	d, err := p.Receive(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(d.Events), "1:5:7:1 \n1:5:8:1 \n1:6:7:1 \n1:5:7:2 \n "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
