package provider

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// StandardWebhooks returns the Provider for any sender of Standard Webhooks, such as OpenAI
// and Replicate. A secret is "whsec_" and Base64 for the HMAC of v1, "whpk_" and Base64 for
// the public key of v1a, or "whsk_" and Base64 for its private key, with which Sign works.
// They may be mixed. For a sender that shows a plain text instead, such as Polar, a secret is
// "whsec_" and the Base64 of that text.
// (https://www.standardwebhooks.com)
func StandardWebhooks(secrets ...string) *Provider {
	p := &Provider{
		Name: "standardwebhooks", Deadline: 13 * time.Second,
		Retry: Retry{
			Waits: []time.Duration{
				5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
				10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
			},
			Final: after(http.StatusGone), // disables the endpoint
		},
		Scheme:  standard{names: []string{"Webhook"}},
		Payload: Payload{Type: path("type")},
	}
	return p.with(secrets)
}

// standard is the scheme of Standard Webhooks, https://www.standardwebhooks.com: v1 with an
// HMAC, v1a with Ed25519, or both in one list. Its headers begin with one of names.
type standard struct{ names []string }

// family verifies the headers that begin with one name: id, timestamp and signature.
type family struct {
	verifier
	headers [3]string
}

type standardVerifier []family

func (s standard) traits() traits {
	t := traits{doubts: anyOf(doubtSecret, doubtBody, doubtClock)}
	for _, name := range s.names {
		t.headers = append(t.headers, name+"-Signature")
	}
	return t
}

func (s standard) bind(secrets []secret) (verifier, error) {
	var v standardVerifier
	for _, name := range s.names {
		f := family{headers: [3]string{name + "-Id", name + "-Timestamp", name + "-Signature"}}
		for i, h := range f.headers {
			f.headers[i] = textproto.CanonicalMIMEHeaderKey(h)
		}
		var err error
		if f.verifier, err = f.choice().bind(secrets); err != nil {
			return nil, err
		}
		v = append(v, f)
	}
	return v, nil
}

func (f *family) choice() choice {
	v1 := Signature{
		Header: f.headers[2], Prefix: "v1,", Separator: " ", Encoding: Base64,
		Key: Base64, KeyPrefix: "whsec_",
		ID: f.headers[0], Timestamp: Timestamp{Header: f.headers[1]}, Signed: "{id}.{ts}.{body}",
	}
	v1a := v1
	v1a.Algorithm, v1a.Prefix, v1a.KeyPrefix = Ed25519, "v1a,", "whpk_"
	return choice{schemes: []Scheme{v1, v1a}, of: standardKey}
}

// standardKey returns the scheme of a secret, v1 or v1a, and its key. A private key, "whsk_"
// and the Base64 of the seed or of the seed and the public key, becomes PEM.
func standardKey(text string) (scheme int, key string, err error) {
	text = strings.TrimPrefix(text, "v1,") // as Supabase shows it
	encoded, private := strings.CutPrefix(text, "whsk_")
	switch {
	case private:
		key, err = seedPEM(encoded)
		return 1, key, err
	case strings.HasPrefix(text, "whpk_") || isPEM(text):
		return 1, text, nil
	case !strings.HasPrefix(text, "whsec_"):
		return 0, "", errStandard
	}
	return 0, text, nil
}

func seedPEM(encoded string) (string, error) {
	raw, err := Base64.key(encoded)
	if err != nil {
		return "", err
	}
	if len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return "", errors.New("is not an Ed25519 private key")
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

var errStandard = errors.New(`does not begin with "whsec_", "whpk_" or "whsk_": write "whsec_" and the Base64 of the key`)

// family returns the family of the request's headers. If a second family has other values, it
// is an error: another program may read those.
func (v standardVerifier) family(r *Request) (*family, error) {
	found := &v[0]
	if len(v) == 1 {
		return found, nil
	}
	for i := range v {
		if _, ok := r.Header[v[i].headers[2]]; ok {
			found = &v[i]
			break
		}
	}
	for i := range v {
		for n, name := range v[i].headers {
			if value := first(r.Header, name); value != "" && value != first(r.Header, found.headers[n]) {
				return nil, malformed("%s and %s differ", name, found.headers[n])
			}
		}
	}
	return found, nil
}

func (v standardVerifier) precheck(r *Request) error {
	f, err := v.family(r)
	if err != nil {
		return err
	}
	return f.precheck(r)
}

func (v standardVerifier) verify(r *Request) (match, error) {
	f, err := v.family(r)
	if err != nil {
		return match{}, err
	}
	return f.verify(r)
}

func (v standardVerifier) sign(r *Request, id string) error { return v[0].sign(r, id) }
