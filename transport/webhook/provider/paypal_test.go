package provider_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const payPalBody = `{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED"}`

func payPalHeader(id, stamp, webhook, body string) map[string]string {
	return map[string]string{
		"Paypal-Transmission-Id": id, "Paypal-Transmission-Time": stamp, "Paypal-Auth-Algo": "SHA256withRSA",
		"Paypal-Transmission-Sig": signRSA(fmt.Sprintf("%s|%s|%s|%d", id, stamp, webhook, crc32.ChecksumIEEE([]byte(body)))),
	}
}

func payPalSample() sample {
	return sample{
		name: "paypal", secret: privatePEM(rsaKey()), id: "t-1", wantID: "t-1", signed: true, proof: transport.ProofMetadata,
		make: func(s ...string) *provider.Provider { return pinned(provider.PayPal(nil, "3TR748995U920805P"), s) },
		body: payPalBody, events: "WH-1 PAYMENT.SALE.COMPLETED",
		sign: func(body string) map[string]string { return payPalHeader("t-1", rfc3339, "3TR748995U920805P", body) },
	}
}

// Two deliveries that PayPal published with its SDKs. The public key was computed from them: it
// is the greatest common divisor of signature^65537 less the padded hash, of both. It has 2048
// bits only because both texts are what PayPal signed.
func TestPayPalVectors(t *testing.T) {
	key := string(must(os.ReadFile("testdata/paypal/key.pem")))
	for _, c := range []struct{ file, id, stamp, webhook, signature string }{
		{"sale-21.json", "d938e770-8046-11e6-8103-6b62a8a99ac4", "2016-09-21T22:00:46Z", "9XL90610J3647323C", "eDOnWUj9FXOnr2naQnrdL7bhgejVSTwRbwbJ0kuk5wAtm2ZYkr7w5BSUDO7e5ZOsqLwN3sPn3RV85Jd9pjHuTlpuXDLYk+l5qiViPbaaC0tLV+8C/zbDjg2WCfvtf2NmFT8CHgPPQAByUqiiTY+RJZPPQC5np7j7WuxcegsJLeWStRAofsDLiSKrzYV3CKZYtNoNnRvYmSFMkYp/5vk4xGcQLeYNV1CC2PyqraZj8HGG6Y+KV4trhreV9VZDn+rPtLDZTbzUohie1LpEy31k2dg+1szpWaGYOz+MRb40U04oD7fD69vghCrDTYs5AsuFM2+WZtsMDmYGI0pxLjn2yw=="},
		{"sale-6.json", "103e3700-8b0c-11e6-8695-6b62a8a99ac4", "2016-10-05T14:57:40Z", "3TR748995U920805P", "t8hlRk64rpEImZMKqgtp5dlWaT1W8ed/mf8Msos341QInVn3BMQubjAhM/cKiSJtW07VwJvSX7X4+YUmHBrm5BQ+CEkClke4Yf4ouhCK6GWsfs0J8cKkmjI0XxfJpPLgjROEWY3MXorwCtbvrEo5vrRI2+TyLkquBKAlM95LbNWG43lxMu0LHzsSRUBDdt5IP1b2CKqbcEJKGrC78iw+fJEQGagkJAiv3Qvpw8F/8q7FCQAZ3c81mzTvP4ZH3Xk2/nNznEA7eMi3u1EjSpTmLfAb423ytX37Ts0QpmPNgxJe8wnMB/+fvt4xjYH6KNe+bIcYU30hUIe9O8c9UFwKuQ=="},
	} {
		at := must(time.Parse(time.RFC3339, c.stamp))
		r := &provider.Request{Method: "POST", Header: header(), Body: must(os.ReadFile("testdata/paypal/" + c.file)), Time: at}
		for name, value := range map[string]string{
			"PAYPAL-TRANSMISSION-ID": c.id, "PAYPAL-TRANSMISSION-TIME": c.stamp, "PAYPAL-TRANSMISSION-SIG": c.signature,
			"PAYPAL-AUTH-ALGO": "SHA256withRSA", "PAYPAL-CERT-URL": payPalURL,
		} {
			r.Header.Set(name, value)
		}
		p := pinned(provider.PayPal(nil, "another", c.webhook), []string{key})
		d, err := p.Receive(r)
		if err != nil || d.ID != c.id || !d.Signed || d.Proof != transport.ProofMetadata || len(d.Events) != 1 || d.Events[0].Type != "PAYMENT.SALE.COMPLETED" {
			t.Errorf("%s: got %+v and error %v, want the delivery", c.file, d, err)
		}
		if _, err := pinned(provider.PayPal(nil, "another"), []string{key}).Receive(r); !forged(err) {
			t.Errorf("%s for another webhook: got error %v, want Forged", c.file, err)
		}
	}
}

const payPalURL = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"

// issue returns a certificate for host in PEM, and its authority.
func issue(host string, until time.Time) (chain string, roots *x509.CertPool) {
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, ca, ca, &rsaKey().PublicKey, rsaKey()))))
	between := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "intermediate"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	middle := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, between, root, &rsaKey().PublicKey, rsaKey()))))
	leaf := &x509.Certificate{SerialNumber: big.NewInt(3), DNSNames: []string{host}, NotBefore: ca.NotBefore, NotAfter: until}
	der := must(x509.CreateCertificate(rand.Reader, leaf, middle, &rsaKey().PublicKey, rsaKey()))
	for _, c := range [][]byte{der, middle.Raw} {
		chain += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c}))
	}
	roots = x509.NewCertPool()
	roots.AddCert(root)
	return chain, roots
}

// A certificate is fetched from PayPal's hosts only, and must be issued for PayPal's signing host
// by a trusted authority.
func TestPayPalFetchesCertificates(t *testing.T) {
	later := time.Now().Add(time.Hour)
	const host = "messageverificationcerts.sandbox.paypal.com"
	good, roots := issue(host, later)
	live, liveRoots := issue("messageverificationcerts.paypal.com", later)
	other, otherRoots := issue("evil.example", later)
	old, oldRoots := issue(host, time.Now().Add(-time.Hour))
	strangers := x509.NewCertPool()
	leafOnly := good[:strings.Index(good[1:], "-----BEGIN")+1]
	for _, c := range []struct {
		name, url, page string
		roots           *x509.CertPool
		fetched         int
		result          string // "", "forged", "busy" or "malformed"
	}{
		{"sandbox", payPalURL, good, roots, 1, ""},
		{"live", strings.Replace(payPalURL, "api.sandbox", "api-m", 1), live, liveRoots, 1, ""},
		{"the sandbox's certificate on the live host", strings.Replace(payPalURL, ".sandbox", "", 1), good, roots, 1, "busy"},
		{"another host's certificate", payPalURL, other, otherRoots, 1, "busy"},
		{"an expired certificate", payPalURL, old, oldRoots, 1, "busy"},
		{"another authority", payPalURL, good, strangers, 1, "busy"},
		{"the system's authorities", payPalURL, good, nil, 1, "busy"},
		{"no intermediate certificate", payPalURL, leafOnly, roots, 1, "busy"},
		{"a page", payPalURL, "<html>", roots, 1, "busy"},
		{"another file first", payPalURL, publicPEM(&rsaKey().PublicKey) + good, roots, 1, "busy"},
		{"nothing", payPalURL, "", roots, 1, "busy"},
		{"another host", "https://evil.example/v1/notifications/certs/CERT-1", good, roots, 0, "forged"},
		{"a host that begins like PayPal's", strings.Replace(payPalURL, ".com", ".com.evil.example", 1), good, roots, 0, "forged"},
		{"a host that ends like PayPal's", "https://evil-api.paypal.com/v1/notifications/certs/CERT-1", good, roots, 0, "forged"},
		{"a user", strings.Replace(payPalURL, "api", "evil@api", 1), good, roots, 0, "forged"},
		{"a port", strings.Replace(payPalURL, ".com", ".com:8443", 1), good, roots, 0, "forged"},
		{"no TLS", "http" + payPalURL[5:], good, roots, 0, "forged"},
		{"another path", "https://api.paypal.com/evil", good, roots, 0, "forged"},
		{"dots", strings.Replace(payPalURL, "certs/", "certs/../", 1), good, roots, 0, "forged"},
		{"an escape", strings.Replace(payPalURL, "certs/", "certs/%2e%2e", 1), good, roots, 0, "forged"},
		{"a query", payPalURL + "?a", good, roots, 0, "forged"},
		{"an empty query", payPalURL + "?", good, roots, 0, "forged"},
		{"a fragment", payPalURL + "#a", good, roots, 0, "forged"},
		{"not a URL", ":", good, roots, 0, "forged"},
		{"no URL", "", good, roots, 0, "malformed"},
	} {
		service := &aws{t: t, pages: map[string]string{c.url: c.page}}
		p := provider.PayPal(&http.Client{Transport: service}, "W")
		provider.TrustPayPal(p, c.roots)
		r := &provider.Request{Method: "POST", Header: header(), Body: []byte(payPalBody), Time: at}
		for name, value := range payPalHeader("t-1", rfc3339, "W", payPalBody) {
			r.Header.Set(name, value)
		}
		r.Header.Set("Paypal-Cert-Url", c.url)
		var result string
		for range 2 {
			_, err := p.Receive(r)
			result = kindOf(err)
		}
		if result != c.result || len(service.fetched) != c.fetched {
			t.Errorf("%s: got %q after fetching %q, want %q after %d", c.name, result, service.fetched, c.result, c.fetched)
		}
	}
}

// kindOf names the kind of an error.
func kindOf(err error) string {
	switch {
	case err == nil:
		return ""
	case forged(err):
		return "forged"
	case busy(err):
		return "busy"
	}
	return "malformed"
}

// What else is in the header is checked before anything is fetched.
func TestPayPalHeaders(t *testing.T) {
	service := &aws{t: t}
	p := provider.PayPal(&http.Client{Transport: service}, "W")
	for _, c := range []struct{ name, header, value, want string }{
		{"another algorithm", "Paypal-Auth-Algo", "SHA1withRSA", "malformed"},
		{"no algorithm", "Paypal-Auth-Algo", "", "malformed"},
		{"a separator in the id", "Paypal-Transmission-Id", "a|b", "malformed"},
		{"not a time", "Paypal-Transmission-Time", "now", "malformed"},
		{"an old time", "Paypal-Transmission-Time", "2025-03-01T04:06:06Z", "forged"},
		{"no signature", "Paypal-Transmission-Sig", "", "malformed"},
	} {
		r := &provider.Request{Method: "POST", Header: header("Paypal-Cert-Url", payPalURL), Body: []byte(payPalBody), Time: at}
		for name, value := range payPalHeader("t-1", rfc3339, "W", payPalBody) {
			r.Header.Set(name, value)
		}
		r.Header.Set(c.header, c.value)
		_, err := p.Receive(r)
		if early := p.Precheck(r); kindOf(err) != c.want || kindOf(early) != c.want {
			t.Errorf("%s: got errors %v and %v, want %s", c.name, early, err, c.want)
		}
	}
	if len(service.fetched) != 0 {
		t.Errorf("fetched %q, want nothing", service.fetched)
	}
	const notKey = "provider: paypal: secret 0 is neither a certificate, a public key nor a private key for RSA in PEM"
	if err := p.SetSecrets("hush-hush"); err == nil || err.Error() != notKey {
		t.Errorf("SetSecrets: got error %v, want %s", err, notKey)
	}
	for want, p := range map[string]*provider.Provider{
		"provider: paypal: no webhook: name the ids of the webhooks": provider.PayPal(nil),
		"provider: paypal: webhook 1 is not the id of a webhook":     provider.PayPal(nil, "W", "a|b"),
	} {
		if err := p.Validate(); err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}
