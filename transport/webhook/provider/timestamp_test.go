package provider_test

import (
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Seconds are not accepted as milliseconds.
func TestTimestampInMilliseconds(t *testing.T) {
	p := &provider.Provider{Name: "x", Scheme: provider.Signature{
		Header: "S", Signed: "{ts}{body}", Timestamp: provider.Timestamp{Header: "T", Unit: time.Millisecond, Tolerance: -1},
	}}
	if err := p.SetSecrets(key); err != nil {
		t.Fatal(err)
	}
	for stamp, ok := range map[string]bool{millis: true, seconds: false, "0" + millis: false, "17410647670000": false} {
		_, err := p.Receive(&provider.Request{Header: header("S", hexMAC(stamp+body), "T", stamp), Body: []byte(body), Time: at})
		if (err == nil) != ok {
			t.Errorf("%s: got error %v, want success %t", stamp, err, ok)
		}
	}
}
