package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func lineSample() sample {
	return sample{
		name: "line", make: provider.LINE, wantID: `["01A","01B"]`, signed: true,
		body:   `{"destination":"U1","events":[{"type":"message","webhookEventId":"01A"},{"type":"follow","webhookEventId":"01B"}]}`,
		events: "01A message\n01B follow", sign: onHeader("X-Line-Signature", "", b64MAC),
		vectors: []string{"line-json"},
	}
}

// A repeated delivery has another body, but the same id.
func TestLINERedelivery(t *testing.T) {
	p := provider.LINE(key)
	var ids []string
	for _, again := range []string{"false", "true"} {
		body := `{"events":[{"type":"message","webhookEventId":"01A","deliveryContext":{"isRedelivery":` + again + `}}]}`
		r := &provider.Request{Method: "POST", Header: header("X-Line-Signature", b64MAC(body)), Body: []byte(body), Time: at}
		d, err := p.Receive(r)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	if ids[0] != ids[1] || ids[0] == "" {
		t.Errorf("got ids %q, want one id twice", ids)
	}
}

// The console tests a URL with a delivery that has no events.
func TestLINEVerification(t *testing.T) {
	testRespond(t, provider.LINE(key), []responseCase{{"no events", nil, `{"destination":"U1","events":[]}`, 0, "", 0}})
}
