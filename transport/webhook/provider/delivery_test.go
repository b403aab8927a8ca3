package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestReceiveTwice holds that what is received later of a Request leaves the first Delivery
// as it was.
func TestReceiveTwice(t *testing.T) {
	p := provider.StandardWebhooks("whsec_" + key)
	r := signed(t, p)
	first, err := p.Receive(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Header, r.Body = http.Header{}, []byte(`{"type":"b"}`)
	if err := p.Sign(r, "d2"); err != nil {
		t.Fatal(err)
	}
	second, err := p.Receive(r)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != "d1" || first.Events[0].Type != "a" || second.ID != "d2" || second.Events[0].Type != "b" {
		t.Errorf("received %+v, then %+v", first, second)
	}
}
