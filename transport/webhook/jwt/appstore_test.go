package jwt_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Certificates from the tests of Apple's server library, test_x509_verifiction.py.
func TestAppleCertificates(t *testing.T) {
	var texts map[string]string
	if err := json.Unmarshal(must(os.ReadFile("testdata/apple.json")), &texts); err != nil {
		t.Fatal(err)
	}
	cert := func(name string) *x509.Certificate {
		return must(x509.ParseCertificate(must(base64.StdEncoding.DecodeString(texts[name]))))
	}
	test := x509.NewCertPool()
	test.AddCert(cert("root"))
	effective := time.Unix(1681312846, 0)
	for _, c := range []struct {
		name         string
		roots        *x509.CertPool
		leaf, issuer string
		at           time.Time
		ok           bool
	}{
		{"valid chain", test, "leaf", "intermediate", effective, true},
		{"intermediate without its mark", test, "leaf of unmarked intermediate", "unmarked intermediate", effective, false},
		{"leaf without its mark", test, "unmarked leaf", "intermediate", effective, false},
		{"another root", nil, "leaf", "intermediate", effective, false},
		{"expired", test, "leaf", "intermediate", time.Unix(2280946846, 0), false},
		{"not valid yet", test, "leaf", "intermediate", time.Unix(1000000000, 0), false},
		{"Apple's", nil, "apple leaf", "apple intermediate", effective, true},
		{"Apple's, expired", nil, "apple leaf", "apple intermediate", time.Unix(1700000000, 0), false},
		{"Apple's, another root", test, "apple leaf", "apple intermediate", effective, false},
		{"another issuer", test, "leaf", "apple intermediate", effective, false},
		{"the leaf as its issuer", test, "leaf", "leaf", effective, false},
		{"the root as its issuer", test, "leaf", "root", effective, false},
	} {
		err := jwt.AppStore{Roots: c.roots}.VerifyChain([]*x509.Certificate{cert(c.leaf), cert(c.issuer)}, c.at)
		if (err == nil) != c.ok {
			t.Errorf("%s: got error %v, want success %t", c.name, err, c.ok)
		}
	}
}

// appStore is an authority like Apple's.
type appStore struct {
	roots        *x509.CertPool
	rootDER      []byte
	issuer, leaf *x509.Certificate
	key          *ecdsa.PrivateKey
}

type chainOptions struct {
	curve                    elliptic.Curve
	noLeafMark, noIssuerMark bool
	leafIsCA                 bool
	until                    time.Time
}

func newAppStore(o chainOptions) *appStore {
	if o.curve == nil {
		o.curve = elliptic.P256()
	}
	if o.until.IsZero() {
		o.until = at.Add(time.Hour)
	}
	mark := func(skip bool, id ...int) []pkix.Extension {
		if skip {
			return nil
		}
		return []pkix.Extension{{Id: append(asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6}, id...), Value: []byte{5, 0}}}
	}
	issue := func(n int64, name string, ca bool, until time.Time, marks []pkix.Extension, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotBefore: at.Add(-time.Hour * 24 * 365), NotAfter: until,
			IsCA: ca, BasicConstraintsValid: true, ExtraExtensions: marks, KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if ca {
			c.KeyUsage = x509.KeyUsageCertSign
		}
		if parent == nil {
			parent = c
		}
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by))))
	}
	rootKey, issuerKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	a := &appStore{roots: x509.NewCertPool(), key: must(ecdsa.GenerateKey(o.curve, rand.Reader))}
	far := at.Add(24 * 365 * time.Hour)
	root := issue(1, "root", true, far, nil, nil, rootKey, rootKey)
	a.issuer = issue(2, "issuer", true, far, mark(o.noIssuerMark, 2, 1), root, issuerKey, rootKey)
	a.leaf = issue(3, "leaf", o.leafIsCA, o.until, mark(o.noLeafMark, 11, 1), a.issuer, a.key, issuerKey)
	a.roots.AddCert(root)
	a.rootDER = root.Raw
	return a
}

// sign returns a JWS with the chain.
func (a *appStore) sign(payload any, chain ...[]byte) string {
	if chain == nil {
		chain = [][]byte{a.leaf.Raw, a.issuer.Raw, a.rootDER}
	}
	var x5c []string
	for _, c := range chain {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(c))
	}
	alg := map[int]string{256: "ES256", 384: "ES384"}[a.key.Params().BitSize]
	return token(alg, a.key, map[string]any{"x5c": x5c}, payload)
}

// notification is a test notification as Apple's library has it.
func notification() map[string]any {
	return map[string]any{
		"notificationType": "TEST", "notificationUUID": "002e14d5-51f5-4503-b5a8-c3a1af68eb20", "version": "2.0", "signedDate": at.UnixMilli(),
		"data": map[string]any{"appAppleId": 1234, "bundleId": "com.example", "bundleVersion": "1.2.3", "environment": "Production", "signedTransactionInfo": "x"},
	}
}

func changed(path string, value any) map[string]any {
	n := notification()
	place, name, nested := strings.Cut(path, ".")
	if !nested {
		n[path] = value
		return n
	}
	n[place].(map[string]any)[name] = value
	return n
}

func post(jws string) *provider.Request {
	return &provider.Request{Method: "POST", Header: http.Header{}, Body: must(json.Marshal(map[string]string{"signedPayload": jws})), Time: at}
}

func TestAppStoreNotifications(t *testing.T) {
	a := newAppStore(chainOptions{})
	mine := jwt.AppStore{BundleID: "com.example", AppAppleID: 1234, Roots: a.roots}
	other := newAppStore(chainOptions{})
	sub := func(name string, fields map[string]any) map[string]any {
		n := notification()
		delete(n, "data")
		if name != "" {
			n[name] = fields
		}
		return n
	}
	fields := notification()["data"].(map[string]any)
	external := map[string]any{"appAppleId": 1234, "bundleId": "com.example", "externalPurchaseId": "b2158121"}
	with := func(o chainOptions) (string, *x509.CertPool) {
		s := newAppStore(o)
		return s.sign(notification()), s.roots
	}
	valid := a.sign(notification())
	head, rest, _ := strings.Cut(valid, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	rooted := func(o chainOptions) func() (string, *x509.CertPool) {
		return func() (string, *x509.CertPool) { return with(o) }
	}
	for _, c := range []struct {
		name string
		jws  string
		by   func() (string, *x509.CertPool)
		want string
	}{
		{"a good one", valid, nil, ""},
		{"a summary", a.sign(sub("summary", fields)), nil, ""},
		{"an external purchase", a.sign(sub("externalPurchaseToken", external)), nil, ""},
		{"app data", a.sign(sub("appData", fields)), nil, ""},
		{"nothing about an app", a.sign(sub("", nil)), nil, "forged"},
		{"another app", a.sign(changed("data.appAppleId", 1235)), nil, "forged"},
		{"another bundle", a.sign(changed("data.bundleId", "com.examplex")), nil, "forged"},
		{"the sandbox", a.sign(changed("data.environment", "Sandbox")), nil, "forged"},
		{"an app in text", a.sign(changed("data.appAppleId", "1234")), nil, "forged"},
		{"seven days old", a.sign(changed("signedDate", at.Add(-7*24*time.Hour).UnixMilli())), nil, ""},
		{"older", a.sign(changed("signedDate", at.Add(-7*24*time.Hour).UnixMilli()-1)), nil, "forged"},
		{"from the future", a.sign(changed("signedDate", at.Add(7*24*time.Hour).UnixMilli()+1)), nil, "forged"},
		{"no date", a.sign(changed("signedDate", nil)), nil, "forged"},
		{"a date in text", a.sign(changed("signedDate", "1")), nil, "forged"},
		{"an authority like Apple's", other.sign(notification()), nil, "forged"},
		{"a key that is not the leaf's", other.sign(notification(), a.leaf.Raw, a.issuer.Raw, a.rootDER), nil, "forged"},
		{"a root of its own", a.sign(notification(), a.leaf.Raw, a.issuer.Raw, other.rootDER), nil, ""}, // it is not used
		{"two certificates", a.sign(notification(), a.leaf.Raw, a.issuer.Raw), nil, "forged"},
		{"four certificates", a.sign(notification(), a.leaf.Raw, a.issuer.Raw, a.rootDER, a.rootDER), nil, "forged"},
		{"the wrong order", a.sign(notification(), a.issuer.Raw, a.leaf.Raw, a.rootDER), nil, "forged"},
		{"not a certificate", a.sign(notification(), []byte("a"), a.issuer.Raw, a.rootDER), nil, "forged"},
		{"no certificate", token("ES256", a.key, nil, notification()), nil, "forged"},
		{"none", b64(`{"alg":"none"}`) + "." + payload + ".", nil, "forged"},
		{"HMAC", token("HS256", a.leaf.RawSubjectPublicKeyInfo, nil, notification()), nil, "forged"},
		{"another payload", head + "." + b64(`{"signedDate":1741064767000}`) + "." + signature, nil, "forged"},
		{"crit", raw(rsaKey(), `{"alg":"ES256","crit":["exp"]}`, `{}`), nil, "malformed"},
		{"not a JWS", "a.b", nil, "malformed"},
		{"no leaf mark", "", rooted(chainOptions{noLeafMark: true}), "forged"},
		{"no issuer mark", "", rooted(chainOptions{noIssuerMark: true}), "forged"},
		{"a leaf that is an authority", "", rooted(chainOptions{leafIsCA: true}), "forged"},
		{"a leaf that had expired", "", rooted(chainOptions{until: at.Add(-time.Hour)}), "forged"},
		{"another curve", "", rooted(chainOptions{curve: elliptic.P384()}), "forged"},
	} {
		s := mine
		if c.by != nil {
			c.jws, s.Roots = c.by()
		}
		for _, s.Decode = range []bool{false, true} {
			r := post(c.jws)
			before := string(r.Body)
			d, err := jwt.AppStoreNotifications(s).Receive(r)
			if kindOf(err) != c.want {
				t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
			}
			if err != nil {
				continue
			}
			proof, data := transport.ProofMetadata, before
			if s.Decode {
				_, rest, _ := strings.Cut(c.jws, ".")
				middle, _, _ := strings.Cut(rest, ".")
				proof, data = transport.ProofBody, string(must(base64.RawURLEncoding.DecodeString(middle)))
			}
			if d.ID != "002e14d5-51f5-4503-b5a8-c3a1af68eb20" || !d.Signed || d.Proof != proof || len(d.Events) != 1 || d.Events[0].ID != d.ID || d.Events[0].Type != "TEST" || string(d.Events[0].Data) != data {
				t.Errorf("%s, Decode %t: got %+v, want the notification", c.name, s.Decode, d)
			}
		}
	}
	sandbox := jwt.AppStore{BundleID: "com.example", Sandbox: true, Roots: a.roots}
	delete(fields, "appAppleId")
	fields["environment"] = "Sandbox"
	external["externalPurchaseId"] = "SANDBOX_b2158121"
	for name, jws := range map[string]string{"data": a.sign(sub("data", fields)), "an external purchase": a.sign(sub("externalPurchaseToken", external))} {
		if err := receive(jwt.AppStoreNotifications(sandbox), post(jws)); err != nil {
			t.Errorf("the sandbox, %s: %v", name, err)
		}
		if err := receive(jwt.AppStoreNotifications(mine), post(jws)); !forged(err) {
			t.Errorf("the sandbox in production, %s: got error %v, want Forged", name, err)
		}
	}
	if err := receive(jwt.AppStoreNotifications(sandbox), post(valid)); !forged(err) {
		t.Errorf("production in the sandbox: got error %v, want Forged", err)
	}
	for _, body := range []string{`{}`, `{`, `[]`, `{"signedPayload":1}`, `{"signedPayload":"` + valid + `","signedPayload":"a"}`, `{"SignedPayload":"a","signedPayload":"` + valid + `"}`} {
		r := post("")
		r.Body = []byte(body)
		if err := receive(jwt.AppStoreNotifications(mine), r); kindOf(err) != "malformed" {
			t.Errorf("%.40s: got error %v, want one about the body", body, err)
		}
	}
}

// Verify opens the transactions in a notification.
func TestAppStoreVerify(t *testing.T) {
	a := newAppStore(chainOptions{})
	s := jwt.AppStore{Roots: a.roots}
	transaction := []byte(`{"transactionId":"1","signedDate":` + string(must(json.Marshal(at.UnixMilli()))) + `}`)
	if got, err := s.Verify(a.sign(transaction)); err != nil || !bytes.Equal(got, transaction) {
		t.Errorf("got %s and error %v, want %s", got, err, transaction)
	}
	for _, jws := range []string{"", "a.b.c", newAppStore(chainOptions{}).sign(transaction), a.sign([]byte(`{}`)), a.sign([]byte(`[]`))} {
		if got, err := s.Verify(jws); err == nil || got != nil {
			t.Errorf("%.20s: got %s, want an error", jws, got)
		}
	}
	if _, err := (jwt.AppStore{}).Verify(a.sign(transaction)); err == nil {
		t.Error("with Apple's root: got no error, want one")
	}
}
