package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A later Receive of the same Request does not change an earlier Delivery.
func TestDeliveriesOfOneRequestAreIndependent(t *testing.T) {
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
		t.Errorf("got %+v and %+v, want d1 and d2", first, second)
	}
}
