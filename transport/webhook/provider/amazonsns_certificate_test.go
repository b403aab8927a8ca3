package provider_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Unverified requests cannot start more than a few fetches at once.
func TestCertificateFetchesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held, release := 0, make(chan struct{})
		client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			held++ // no race: synctest.Wait is between any two
			<-release
			return nil, errors.New("no answer")
		})}
		p := provider.AmazonSNS(client, topic)
		var wg sync.WaitGroup
		receive := func() {
			r := message(t, nil, nil)
			r.Time = at
			if d, err := p.Receive(r); !busy(err) {
				t.Errorf("got %+v and error %v, want Busy", d, err)
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
			t.Errorf("got %d fetches at once, want 4", held)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Certificates are fetched from public addresses, whatever a name resolves to.
func TestCertificatesComeFromPublicAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"52.94.0.1:443": true, "[2600:1f00::1]:443": true, "127.0.0.1:443": false, "10.1.2.3:443": false, "192.168.0.1:443": false,
		"169.254.169.254:80": false, "[::1]:443": false, "[fe80::1]:443": false, "[fd00::1]:443": false, "[::ffff:127.0.0.1]:443": false,
		"0.0.0.0:443": false, "224.0.0.1:443": false, "": false,
	} {
		if err := provider.PublicOnly("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: got error %v, want success %t", address, err, ok)
		}
	}
}
