package provider_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A vector is a delivery with its signature. Its source is in testdata/vectors.json.
type vector struct {
	Name, Provider, Method, URL, Secret, Body, Timestamp string

	TimestampUnit    string `json:"timestamp_unit"`
	PublicKey        string `json:"public_key"`
	DeliveryID       string `json:"delivery_id"`
	ExpectedResponse string `json:"expected_response"`
	Headers          map[string]string
}

// request returns the delivery, received when it was sent.
func (v *vector) request() *provider.Request {
	r := &provider.Request{
		Method: v.Method, URL: v.URL, Header: http.Header{}, Body: []byte(v.Body), Time: time.Unix(1, 0),
	}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	n, _ := strconv.ParseInt(v.Timestamp, 10, 64)
	if v.TimestampUnit == "ms" {
		r.Time = time.UnixMilli(n)
	} else if n > 0 {
		r.Time = time.Unix(n, 0)
	}
	return r
}

func (v *vector) key() string { return v.Secret + v.PublicKey }

func vectors(t testing.TB) map[string]vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	byName := map[string]vector{}
	for _, v := range list {
		byName[v.Name] = v
	}
	return byName
}

// generic returns the provider of a sender that has a signature and nothing else.
func generic(s provider.Signature) func(...string) *provider.Provider {
	return func(secrets ...string) *provider.Provider {
		p := &provider.Provider{Name: "generic", Scheme: s}
		if err := p.SetSecrets(secrets...); err != nil {
			panic(err)
		}
		return p
	}
}

// otherReceivers are those of the vectors that no sample names.
func otherReceivers() map[string]func(...string) *provider.Provider {
	return map[string]func(...string) *provider.Provider{
		"websub-sha1":   webSub(provider.HMACSHA1, "sha1="),
		"websub-sha512": webSub(provider.HMACSHA512, "sha512="),
		"github-form-sha1": generic(provider.Signature{
			Algorithm: provider.HMACSHA1, Header: "X-Hub-Signature", Prefix: "sha1=",
		}),
		"generic-hex-sha512": generic(provider.Signature{Algorithm: provider.HMACSHA512, Header: "X-Convoy-Signature"}),
		"generic-hex-sha1":   generic(provider.Signature{Algorithm: provider.HMACSHA1, Header: "X-Signature"}),
		"generic-hex-sha256": generic(provider.Signature{Header: "X-Signature"}),
	}
}

// TestVectorsAreReceived receives deliveries that others have signed, with the second of two
// secrets.
func TestVectorsAreReceived(t *testing.T) {
	receivers := otherReceivers()
	for _, s := range samples() {
		for _, name := range s.vectors {
			receivers[name] = s.make
		}
	}
	for name, v := range vectors(t) {
		if name == "x-crc" {
			continue // a handshake
		}
		newProvider, ok := receivers[name]
		if !ok {
			t.Errorf("%s: got no provider that receives it, want one", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			other := map[string]string{"adyen": adyenKey, "stripe": stripeKey, "standardwebhooks": "whsec_" + key}[v.Provider]
			p, r := newProvider(cmp.Or(other, key), v.key()), v.request()
			if v.PublicKey != "" {
				p = newProvider(v.key())
			}
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			if err := p.Precheck(r); err != nil {
				t.Errorf("Precheck: %v", err)
			}
			d, err := p.Receive(r)
			if err != nil {
				t.Fatal(err)
			}
			if want := len(v.key()) - len(v.PublicKey); d.Key != min(want, 1) {
				t.Errorf("got key %d, want %d", d.Key, min(want, 1))
			}
			if v.DeliveryID != "" && (d.ID != v.DeliveryID || !d.Signed) {
				t.Errorf("got id %q, signed %t, want %q, signed", d.ID, d.Signed, v.DeliveryID)
			}
		})
	}
}
