package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func goCardlessSample() sample {
	return sample{
		name: "gocardless", make: provider.GoCardless, wantID: "WB1", signed: true,
		body:    `{"events":[{"id":"EV1","resource_type":"payments","action":"confirmed"},{"id":"EV2","resource_type":"mandates","action":"active"}],"meta":{"webhook_id":"WB1"}}`,
		events:  "EV1 payments:confirmed\nEV2 mandates:active",
		sign:    onHeader("Webhook-Signature", "", hexMAC),
		vectors: []string{"gocardless-events"},
	}
}

// The vector's delivery is older than meta.webhook_id: its id is the hash of the body.
func TestGoCardlessEvents(t *testing.T) {
	v := vectors(t)["gocardless-events"]
	d, err := provider.GoCardless(v.key()).Receive(v.request())
	if err != nil {
		t.Fatal(err)
	}
	if want := "EV00BD05S5VM2T subscriptions:created\nEV00BD05TB8K63 mandates:created"; describe(d.Events) != want || d.ID != hashOf(v.Body) {
		t.Errorf("got %q, id %q, want %q, the hash of the body", describe(d.Events), d.ID, want)
	}
}

// GoCardless requires "498 Token Invalid" for a wrong signature, and repeats the delivery.
func TestGoCardlessAnswers(t *testing.T) {
	if got := provider.GoCardless(key).Answers.Forged.Status; got != 498 {
		t.Errorf("got %d for a wrong signature, want 498", got)
	}
}
