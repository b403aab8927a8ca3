package provider

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// standard is Standard Webhooks, https://www.standardwebhooks.com: v1 with an HMAC, v1a
// with Ed25519, or both in one list. Its headers begin with one of names.
type standard struct{ names []string }

// family is the headers of one name, and the schemes of the secrets that there are.
type family struct {
	headers [3]string
	schemes []*signer
}

type standardVerifier []family

func (s standard) bind(secrets []string) (verifier, error) {
	if len(secrets) == 0 {
		return nil, errNoSecrets
	}
	var v standardVerifier
	for _, name := range s.names {
		f, err := newFamily(name, secrets)
		if err != nil {
			return nil, err
		}
		v = append(v, f)
	}
	return v, nil
}

func newFamily(name string, secrets []string) (family, error) {
	symmetric := Signature{
		Header: name + "-Signature", Prefix: "v1,", Separator: " ", Encoding: Base64,
		Key: Base64, KeyPrefix: "whsec_",
		ID: name + "-Id", Timestamp: Timestamp{Header: name + "-Timestamp", Tolerance: 5 * time.Minute},
		Signed: "{id}.{ts}.{body}",
	}
	asymmetric := symmetric
	asymmetric.Algorithm, asymmetric.Prefix, asymmetric.KeyPrefix = Ed25519, "v1a,", "whpk_"

	f := family{headers: [3]string{symmetric.ID, symmetric.Timestamp.Header, symmetric.Header}}
	var shared, public []string
	var sharedAt, publicAt []int
	for i, text := range secrets {
		text, isPublic, err := publicKey(text)
		if err != nil {
			return f, fmt.Errorf("secret %d %w", i, err)
		}
		if isPublic {
			public, publicAt = append(public, text), append(publicAt, i)
		} else {
			shared, sharedAt = append(shared, text), append(sharedAt, i)
		}
	}
	for _, b := range []struct {
		Signature
		secrets []string
		at      []int
	}{{symmetric, shared, sharedAt}, {asymmetric, public, publicAt}} {
		if len(b.secrets) == 0 {
			continue
		}
		s, err := b.signer(b.secrets, b.at)
		if err != nil {
			return f, err
		}
		f.schemes = append(f.schemes, s)
	}
	return f, nil
}

// publicKey tells whether a secret is one of v1a. A private key, whsk_ and Base64 of the
// seed or of seed and public key, becomes PEM.
func publicKey(text string) (string, bool, error) {
	encoded, private := strings.CutPrefix(text, "whsk_")
	if !private {
		return text, strings.HasPrefix(text, "whpk_") || strings.HasPrefix(text, "-----BEGIN "), nil
	}
	raw, err := Base64.key(encoded)
	if err != nil {
		return "", true, err
	}
	if len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return "", true, errors.New("is not a private key of Ed25519")
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), true, err
}

func (v standardVerifier) proof() Proof { return ProofBody }

func (v standardVerifier) covers(at Source) bool { return v[0].schemes[0].covers(at) }

// family returns that of the request's headers. With two that say different things, one
// of them could be for another program.
func (v standardVerifier) family(r *Request) (*family, error) {
	found := &v[0]
	for i := range v {
		if _, ok := r.Header[v[i].schemes[0].Header]; ok {
			found = &v[i]
			break
		}
	}
	for i := range v {
		if &v[i] == found {
			continue
		}
		for n, name := range v[i].headers {
			if value := r.Header.Get(name); value != "" && value != r.Header.Get(found.headers[n]) {
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
	for _, s := range f.schemes {
		if err = s.precheck(r); err == nil {
			return nil
		}
	}
	return err
}

func (v standardVerifier) verify(r *Request) (int, error) {
	f, err := v.family(r)
	if err != nil {
		return -1, err
	}
	var worst error
	for _, s := range f.schemes {
		key, err := s.verify(r)
		if err == nil {
			return key, nil
		}
		if worst == nil || isForged(err) {
			worst = err
		}
	}
	return -1, worst
}

func (v standardVerifier) sign(r *Request, id string) error {
	for _, s := range v[0].schemes {
		if s.index[0] == 0 {
			return s.sign(r, id)
		}
	}
	return errNotSigner
}
