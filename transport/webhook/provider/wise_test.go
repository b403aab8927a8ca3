package provider_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// signRSA returns the signature of a text in Base64.
func signRSA(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, sum[:])))
}

func wiseSample() sample {
	return sample{
		name: "wise", vectors: []string{"wise-rsa"}, make: provider.Wise, secret: privatePEM(rsaKey()), id: "d1", wantID: "d1",
		header: map[string]string{"X-Delivery-Id": "d1"},
		body:   `{"event_type":"transfers#state-change"}`, events: " transfers#state-change",
		sign: onHeader("X-Signature-SHA256", "", signRSA),
	}
}

// A signature by a key of 4096 bits has 512 bytes.
func TestLongRSAKey(t *testing.T) {
	p := provider.Wise(privatePEM(must(rsa.GenerateKey(rand.Reader, 4096))))
	r := &provider.Request{Header: header(), Body: []byte(body), Time: at}
	if err := p.Sign(r, "d1"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Receive(r); err != nil {
		t.Error(err)
	}
	r.Body[0]++
	if _, err := p.Receive(r); !forged(err) {
		t.Errorf("another body: got error %v, want Forged", err)
	}
}
