package provider_test

import (
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestMilliseconds holds that neither unit is taken for the other.
func TestMilliseconds(t *testing.T) {
	p := &provider.Provider{Name: "x", Scheme: provider.Signature{
		Header: "S", Signed: "{ts}{body}", Timestamp: provider.Timestamp{Header: "T", Unit: time.Millisecond, Tolerance: -1},
	}}
	if err := p.SetSecrets(key); err != nil {
		t.Fatal(err)
	}
	for stamp, ok := range map[string]bool{millis: true, seconds: false, "0" + millis: false, "17410647670000": false} {
		_, err := p.Receive(&provider.Request{Header: header("S", hexMAC(stamp+body), "T", stamp), Body: []byte(body), Time: at})
		if (err == nil) != ok {
			t.Errorf("%s: %v", stamp, err)
		}
	}
}
