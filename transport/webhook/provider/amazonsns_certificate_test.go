package provider_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestSNSAtOnce fetches few certificates at once, whoever asks for them.
func TestSNSAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held, release := 0, make(chan struct{})
		client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			held++ // one after the other, for synctest.Wait is between them
			<-release
			return nil, errors.New("nobody there")
		})}
		p := provider.AmazonSNS(client, topic)
		var wg sync.WaitGroup
		receive := func() {
			r := message(t, nil, nil)
			r.Time = at
			if d, err := p.Receive(r); !busy(err) {
				t.Errorf("%+v, %v", d, err)
			}
		}
		for range 4 {
			wg.Go(receive)
			synctest.Wait()
		}
		receive()
		close(release)
		wg.Wait()
		if held != 4 {
			t.Errorf("%d at once", held)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPublicOnly holds where certificates may be fetched from, whatever a name resolves to.
func TestPublicOnly(t *testing.T) {
	for address, ok := range map[string]bool{
		"52.94.0.1:443": true, "[2600:1f00::1]:443": true, "127.0.0.1:443": false, "10.1.2.3:443": false, "192.168.0.1:443": false,
		"169.254.169.254:80": false, "[::1]:443": false, "[fe80::1]:443": false, "[fd00::1]:443": false, "[::ffff:127.0.0.1]:443": false,
		"0.0.0.0:443": false, "224.0.0.1:443": false, "": false,
	} {
		if err := provider.PublicOnly("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
