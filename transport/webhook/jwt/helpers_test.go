package jwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// at is when the requests are received.
var at = time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)

var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey    = ed25519.NewKeyFromSeed(make([]byte, 32))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func forged(err error) bool {
	var f interface{ Forged() bool }
	return errors.As(err, &f) && f.Forged()
}

func busy(err error) bool {
	var b interface{ Busy() bool }
	return errors.As(err, &b) && b.Busy()
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

type claims map[string]any

// good are the claims of a token that the tests' scheme accepts.
func good() claims {
	return claims{"iss": "https://issuer.example", "aud": "me", "iat": at.Unix(), "exp": at.Unix() + 300, "sub": "s"}
}

func (c claims) with(name string, value any) claims {
	more := claims{}
	for n, v := range c {
		more[n] = v
	}
	if more[name] = value; value == nil {
		delete(more, name)
	}
	return more
}

// token signs claims with the given header. The key is one of go-jose, or nil for no signature.
func token(alg string, key any, header map[string]any, c any) string {
	opts := &jose.SignerOptions{}
	for name, value := range header {
		opts = opts.WithHeader(jose.HeaderKey(name), value)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, opts))
	payload, ok := c.([]byte)
	if !ok {
		payload = must(json.Marshal(c))
	}
	return must(must(signer.Sign(payload)).CompactSerialize())
}

func b64(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// raw signs a header and a payload as they are, with RSA.
func raw(key *rsa.PrivateKey, header, payload string) string {
	text := b64(header) + "." + b64(payload)
	sum := crypto.SHA256.New()
	sum.Write([]byte(text))
	return text + "." + b64(string(must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum.Sum(nil)))))
}

func jwk(id, alg, use string, key any) json.RawMessage {
	return must(json.Marshal(jose.JSONWebKey{Key: key, KeyID: id, Algorithm: alg, Use: use}))
}

func jwks(keys ...json.RawMessage) string {
	return string(must(json.Marshal(map[string]any{"keys": keys})))
}

// web serves pages for any host, without a network.
type web struct {
	mu      sync.Mutex
	pages   map[string]string // by URL; the value of a redirect begins with "https://"
	header  http.Header
	fetched []string
	bodies  []string // of the requests
	status  int      // 0: 200
	err     error
	takes   time.Duration
}

func (w *web) client() *http.Client { return &http.Client{Transport: w} }

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetched = append(w.fetched, r.URL.String())
	if r.Body != nil {
		w.bodies = append(w.bodies, string(must(io.ReadAll(r.Body))))
	}
	takes := w.takes
	w.mu.Unlock()
	select {
	case <-time.After(takes + 1):
	case <-r.Context().Done():
		w.mu.Lock()
		return nil, r.Context().Err()
	}
	w.mu.Lock()
	page, ok := w.pages[r.URL.String()]
	if w.err != nil || !ok {
		return nil, errors.Join(w.err, errors.New("no such page"))
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(page)), Request: r}
	for name, values := range w.header {
		resp.Header[name] = values
	}
	if w.status != 0 {
		resp.StatusCode = w.status
	}
	if strings.HasPrefix(page, "https://") {
		resp.StatusCode = http.StatusFound
		resp.Header.Set("Location", page)
	}
	return resp, nil
}

func (w *web) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *web) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.fetched)
}

const setURL = "https://issuer.example/keys"

// issuer serves a set with an RSA key "r", a P-256 key "e" and an Ed25519 key "d".
func issuer() *web {
	return &web{pages: map[string]string{setURL: jwks(
		jwk("r", "", "sig", &rsaKey().PublicKey), jwk("e", "", "", &ecKey().PublicKey), jwk("d", "EdDSA", "sig", edKey.Public()),
	)}}
}

// scheme is that of the tests.
func scheme(w *web) jwt.Scheme {
	return jwt.Scheme{
		Prefix: "Bearer ", Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"},
		Keys:    &jwt.KeySet{URL: setURL, Client: w.client()},
		Issuers: []string{"https://issuer.example"}, Audiences: []string{"me", "myself"},
	}
}

func provide(s provider.Scheme) *provider.Provider {
	return &provider.Provider{Name: "test", Scheme: s}
}

func request(text string) *provider.Request {
	return &provider.Request{
		Method: "POST", URL: "https://example.com/hook", Body: []byte(`{"a":1}`), Time: at,
		Header: http.Header{"Authorization": {"Bearer " + text}, "Content-Type": {"application/json"}},
	}
}

// receive checks a request with its own keys.
func receive(p *provider.Provider, r *provider.Request) error {
	early := p.Precheck(r)
	_, err := p.Receive(r)
	if early != nil && err == nil {
		return errors.New("Receive accepts what Precheck refuses")
	}
	return err
}

func privatePEM(k any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))}))
}

func publicPEM(k any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(k))}))
}

func valid(t *testing.T, p *provider.Provider) *provider.Provider {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}
