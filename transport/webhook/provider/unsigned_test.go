package provider_test

import (
	"errors"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestUnsigned(t *testing.T) {
	p := provider.Dropbox()
	p.Scheme = provider.Unsigned{}
	r := &provider.Request{Header: header(), Body: []byte("anything")}
	if err := errors.Join(p.Validate(), p.Sign(r, "d1"), p.Precheck(r)); err != nil {
		t.Error(err)
	}
	d, err := p.Receive(r)
	if err != nil || d.Proof != transport.ProofNone || d.Key != -1 || d.Signed || len(d.Events) != 1 {
		t.Errorf("got %+v and error %v, want one event that proves nothing", d, err)
	}
}
