package provider_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func busy(err error) bool {
	var b interface{ Busy() bool }
	return errors.As(err, &b) && b.Busy()
}

// While every slot for public-key checks is taken, a request waits until its context or its
// deadline ends, and is then reported as busy.
func TestPublicKeyChecksEndWithTheRequest(t *testing.T) {
	private := "whsk_" + base64.StdEncoding.EncodeToString(edKey.Seed())
	sns := func(secrets ...string) *provider.Provider {
		p := provider.AmazonSNS(nil, topic)
		if err := p.SetSecrets(secrets...); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, c := range map[string]struct {
		preset  func(secrets ...string) *provider.Provider
		secrets []string // the last one signs
	}{
		"discord":           {provider.Discord, []string{privatePEM(edKey)}},
		"sendgrid":          {provider.SendGrid, []string{privatePEM(ecKey())}},
		"sns":               {sns, []string{privatePEM(rsaKey())}},
		"standard webhooks": {provider.StandardWebhooks, []string{"whsec_" + key, private}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := c.preset(c.secrets...)
				made := provider.Request{Method: "POST", Header: header(), Body: []byte(`{}`), Time: time.Now()}
				if err := c.preset(c.secrets[len(c.secrets)-1]).Sign(&made, "m1"); err != nil {
					t.Fatal(err)
				}
				// receive returns how long Receive took, and its error.
				receive := func(ctx context.Context, deadline time.Time) (time.Duration, error) {
					r := provider.Request{Header: made.Header, Body: made.Body, Time: made.Time, Context: ctx, Deadline: deadline}
					start := time.Now()
					if err := receiver.Precheck(&r); err != nil {
						t.Errorf("Precheck: %v", err)
					}
					_, err := receiver.Receive(&r)
					return time.Since(start), err
				}
				leave := provider.Occupy(receiver)
				gone, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if took, err := receive(gone, time.Now().Add(time.Minute)); !busy(err) || forged(err) || took != time.Second {
					t.Errorf("cancelled: got error %v after %v, want Busy after 1s", err, took)
				}
				if took, err := receive(nil, time.Now().Add(3*time.Second)); !busy(err) || forged(err) || took != 3*time.Second {
					t.Errorf("with a deadline: got error %v after %v, want Busy after 3s", err, took)
				}
				time.AfterFunc(time.Minute, leave)
				if took, err := receive(nil, time.Time{}); err != nil || took != time.Minute {
					t.Errorf("without an end: got error %v after %v, want none after 1m", err, took)
				}
				if took, err := receive(gone, time.Now()); err != nil || took != 0 {
					t.Errorf("with a free slot: got error %v after %v, want none at once", err, took)
				}
			})
		})
	}
}

// More requests than processors are verified concurrently.
func TestConcurrentPublicKeyChecks(t *testing.T) {
	for _, s := range []sample{discordSample(), sendGridSample(), amazonSNSSample()} {
		p := s.provider()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				r := s.request(nil)
				if err := p.Sign(r, "m-1"); err != nil {
					t.Error(err)
				}
				if _, err := p.Receive(r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// A delivery with both versions of Standard Webhooks is verified by its HMAC, which needs no
// slot.
func TestHMACsAreCheckedFirst(t *testing.T) {
	private := "whsk_" + base64.StdEncoding.EncodeToString(edKey.Seed())
	p := provider.StandardWebhooks(private, "whsec_"+key)
	text := "m1." + seconds + "." + body
	signature := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(edKey, []byte(text))) + " v1," + standardMAC(text)
	synctest.Test(t, func(t *testing.T) {
		defer provider.Occupy(p)()
		start := time.Now()
		r := &provider.Request{
			Header: standardHeader("m1", seconds, signature), Body: []byte(body), Time: at, Deadline: start.Add(time.Minute),
		}
		d, err := p.Receive(r)
		if err != nil || d.Key != 1 {
			t.Errorf("got %+v and error %v, want key 1", d, err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v, want no wait", took)
		}
	})
}
