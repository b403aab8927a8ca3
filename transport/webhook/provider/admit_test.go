package provider_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func networks(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		n, _ := netip.ParsePrefix(s)
		all = append(all, n)
	}
	return all
}

func TestNetworks(t *testing.T) {
	for _, c := range []struct{ peer, want string }{
		{"192.0.2.9", "none"}, {"192.0.3.9", "forged"}, {"2001:db8::7", "none"}, {"2001:db9::7", "forged"}, {"", "forged"},
	} {
		p := provider.GitHub(key)
		p.Networks = networks("192.0.2.0/24", "2001:db8::/32")
		r := signed(t, p)
		r.Peer, _ = netip.ParseAddr(c.peer)
		if got := refusalOf(p.Admit(r)); got != c.want {
			t.Errorf("%s: Admit: got %s, want %s", c.peer, got, c.want)
		}
		wantKind(t, p, r, c.want)
	}
}

func TestClientNames(t *testing.T) {
	leaf := func(names ...string) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client.webhooks.example.com"}, DNSNames: names,
			NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		}
		k := ecKey()
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, c, k.Public(), (*ecdsa.PrivateKey)(k)))))
	}
	for _, c := range []struct {
		name string
		tls  *tls.ConnectionState
		want string
	}{
		{"verified", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf("client.webhooks.example.com")}}}, "none"},
		{"one of several", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf("a.example.com", "other.example.com")}}}, "none"},
		{"of another", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf("evil.example.com")}}}, "forged"},
		{"not verified", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf("client.webhooks.example.com")}}, "forged"},
		{"none", &tls.ConnectionState{}, "forged"},
		{"no TLS", nil, "forged"},
	} {
		p := provider.GitHub(key)
		p.ClientNames = []string{"client.webhooks.example.com", "other.example.com"}
		r := signed(t, p)
		r.HTTP = &http.Request{TLS: c.tls}
		if d, err := p.Receive(r); refusalOf(err) != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.name, d, err, c.want)
		}
	}
	p := provider.GitHub(key)
	p.ClientNames = []string{"client.webhooks.example.com"}
	wantKind(t, p, signed(t, provider.GitHub(key)), "forged") // without HTTP
}

func withPathValue(name, value string) *http.Request {
	r := &http.Request{}
	r.SetPathValue(name, value)
	return r
}
