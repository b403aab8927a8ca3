package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// Algorithm is a signature algorithm. The receiver configures it; a request cannot choose it.
type Algorithm uint8

const (
	HMACSHA256 Algorithm = iota // RFC 2104 with SHA-256
	HMACSHA384                  // with SHA-384
	HMACSHA512                  // with SHA-512
	HMACSHA1                    // with SHA-1, for senders that offer nothing stronger
	Ed25519                     // RFC 8032; a secret is the 32-byte public key, or a private key in PEM
	ECDSA                       // P-256 with SHA-256, signatures in DER; a secret is the public key in SPKI, or a private key in PEM
	RSASHA256                   // RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 4096 bits; a secret is as for ECDSA
)

func (a Algorithm) public() bool { return a == Ed25519 || a == ECDSA || a == RSASHA256 }

func (a Algorithm) check() error {
	if a > RSASHA256 {
		return errors.New("Signature.Algorithm is unknown")
	}
	return nil
}

func (a Algorithm) hash() func() hash.Hash {
	switch a {
	case HMACSHA384:
		return sha512.New384
	case HMACSHA512:
		return sha512.New
	case HMACSHA1:
		return sha1.New
	}
	return sha256.New
}

// size returns the length of a signature, or 0 if it varies.
func (a Algorithm) size() int {
	switch a {
	case Ed25519:
		return ed25519.SignatureSize
	case ECDSA, RSASHA256:
		return 0
	}
	return a.hash()().Size()
}

// key verifies and signs with one secret. Its methods may be called concurrently, each with a
// different scratch.
type key interface {
	// verify reports whether this key made one of s's signatures.
	verify(s *scratch, t *template) bool
	sign(s *scratch, t *template) ([]byte, error)
}

// key returns the key in a secret; index is that of its hash, if it is an HMAC. Its errors do
// not quote the secret.
func (a Algorithm) key(index int, text string, e Encoding) (key, error) {
	if a.public() && isPEM(text) {
		return a.fromPEM(text)
	}
	raw, err := e.key(text)
	switch {
	case err != nil:
		return nil, err
	case len(raw) == 0:
		return nil, errors.New("is empty")
	case len(raw) < minSecret: // the encoded text may be longer
		return nil, errShort
	case a == Ed25519:
		return newEd25519(raw)
	case a == ECDSA || a == RSASHA256:
		return a.fromSPKI(raw)
	}
	return &hmacKey{index: index, hash: a.hash(), secret: raw}, nil
}

// hmacKey reuses one hash per scratch: a reset costs half as much as a new hash.
type hmacKey struct {
	index  int // of its hash
	hash   func() hash.Hash
	secret []byte
}

func (k *hmacKey) sum(s *scratch, t *template) []byte {
	if s.macs[k.index] == nil {
		s.macs[k.index] = hmac.New(k.hash, k.secret)
	}
	h := s.macs[k.index]
	h.Reset()
	s.buf = s.append(s.buf[:0], t.before)
	h.Write(s.buf)
	h.Write(s.body)
	s.buf = s.append(s.buf[:0], t.after)
	h.Write(s.buf)
	return h.Sum(s.sum[:0])
}

func (k *hmacKey) verify(s *scratch, t *template) bool {
	sum := k.sum(s, t)
	for i := range s.n {
		if hmac.Equal(sum, s.signature(i)) {
			return true
		}
	}
	return false
}

func (k *hmacKey) sign(s *scratch, t *template) ([]byte, error) { return k.sum(s, t), nil }

// whole returns the signed message in one piece.
func (s *scratch) whole(t *template) []byte {
	s.buf = s.append(s.buf[:0], t.before)
	s.buf = append(s.buf, s.body...)
	s.buf = s.append(s.buf, t.after)
	return s.buf
}

var (
	errShort     = fmt.Errorf("is shorter than %d bytes", minSecret)
	errPublicKey = errors.New("is not a public key for this algorithm")
	errRSASize   = fmt.Errorf("is not an RSA key of 2048 to %d bits", maxRSA)
	errNotSigner = errors.New("cannot sign: the provider has no private key")
)

// fromPEM parses a private key in PKCS #8 (RFC 5958), a public key in SPKI (RFC 5280) or the
// public key of a certificate.
func (a Algorithm) fromPEM(text string) (key, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not valid PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errPublicKey
		}
		parsed = cert.PublicKey
	}
	return a.keyOf(parsed)
}

// fromSPKI parses a public key in SPKI.
func (a Algorithm) fromSPKI(der []byte) (key, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errPublicKey
	}
	return a.keyOf(parsed)
}

// keyOf returns the key of a parsed one, which must be for this algorithm.
func (a Algorithm) keyOf(parsed any) (key, error) {
	switch k := parsed.(type) {
	case ed25519.PrivateKey:
		return a.only(Ed25519, &ed25519Key{public: k.Public().(ed25519.PublicKey), private: k})
	case ed25519.PublicKey:
		return a.only(Ed25519, &ed25519Key{public: k})
	case *ecdsa.PrivateKey:
		return a.only(ECDSA, &ecdsaKey{public: &k.PublicKey, private: k})
	case *ecdsa.PublicKey:
		return a.only(ECDSA, &ecdsaKey{public: k})
	case *rsa.PrivateKey:
		return a.only(RSASHA256, &rsaPublicKey{public: &k.PublicKey, private: k})
	case *rsa.PublicKey:
		return a.only(RSASHA256, &rsaPublicKey{public: k})
	}
	return nil, errPublicKey
}

func (a Algorithm) only(want Algorithm, k key) (key, error) {
	if e, ok := k.(*ecdsaKey); a != want || ok && e.public.Curve != elliptic.P256() {
		return nil, errPublicKey
	}
	if r, ok := k.(*rsaPublicKey); ok && (tooSmall(r.public) || r.public.N.BitLen() > maxRSA) {
		return nil, errRSASize
	}
	return k, nil
}

const maxRSA = 8 * maxPublicSignature // bits

// tooSmall reports whether a key is shorter than NIST SP 800-131A allows.
func tooSmall(k *rsa.PublicKey) bool { return k.N.BitLen() < 2048 }

type ed25519Key struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey // nil: verifies only
}

func newEd25519(raw []byte) (key, error) {
	if len(raw) != ed25519.PublicKeySize {
		return nil, errPublicKey
	}
	return &ed25519Key{public: raw}, nil
}

func (k *ed25519Key) verify(s *scratch, t *template) bool {
	text := s.whole(t)
	for i := range s.n {
		if ed25519.Verify(k.public, text, s.signature(i)) {
			return true
		}
	}
	return false
}

func (k *ed25519Key) sign(s *scratch, t *template) ([]byte, error) {
	if k.private == nil {
		return nil, errNotSigner
	}
	return ed25519.Sign(k.private, s.whole(t)), nil
}

type ecdsaKey struct {
	public  *ecdsa.PublicKey
	private *ecdsa.PrivateKey
}

func (k *ecdsaKey) verify(s *scratch, t *template) bool {
	sum := sha256.Sum256(s.whole(t))
	for i := range s.n {
		if ecdsa.VerifyASN1(k.public, sum[:], s.signature(i)) {
			return true
		}
	}
	return false
}

func (k *ecdsaKey) sign(s *scratch, t *template) ([]byte, error) {
	if k.private == nil {
		return nil, errNotSigner
	}
	sum := sha256.Sum256(s.whole(t))
	return k.private.Sign(rand.Reader, sum[:], crypto.SHA256)
}

type rsaPublicKey struct {
	public  *rsa.PublicKey
	private *rsa.PrivateKey // nil: verifies only
}

func (k *rsaPublicKey) verify(s *scratch, t *template) bool {
	sum := sha256.Sum256(s.whole(t))
	for i := range s.n {
		if rsa.VerifyPKCS1v15(k.public, crypto.SHA256, sum[:], s.signature(i)) == nil {
			return true
		}
	}
	return false
}

func (k *rsaPublicKey) sign(s *scratch, t *template) ([]byte, error) {
	if k.private == nil {
		return nil, errNotSigner
	}
	sum := sha256.Sum256(s.whole(t))
	return rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, sum[:])
}

func macOf(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}
