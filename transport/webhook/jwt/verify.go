package jwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const (
	maxToken  = 16 << 10
	maxTokens = 64  // in one body
	maxKeyID  = 256 // bytes
)

// A Token is a verified token.
type Token struct {
	Claims map[string]json.RawMessage // by name
	Key    *Key                       // that signed it; nil for an HMAC
	secret int                        // its index; -1: none
}

// Claim returns a claim: the value of a string, and anything else as it is written in JSON. It
// returns "" if there is none.
func (t *Token) Claim(name string) string {
	raw := t.Claims[name]
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// verifier is a Scheme with its keys.
type verifier struct {
	Scheme // with its defaults
	hmac   bool
	pinned []*pinnedKey
	slots  slots
}

// pinnedKey is a key that is a secret.
type pinnedKey struct {
	Key
	private crypto.Signer // nil: verifies only
}

// errForged is the error of every token that does not match.
var errForged = errors.New("forged")

// precheck refuses a request whose header has no token.
func (v *verifier) precheck(r *provider.Request) error {
	if v.Path != "" {
		return nil
	}
	tokens, err := v.find(r)
	if err != nil {
		return err
	}
	_, err = parseHeader(tokens[0])
	return err
}

func (v *verifier) verify(r *provider.Request, secrets []string) (int, error) {
	texts, err := v.find(r)
	if err != nil {
		return -1, err
	}
	var tokens []*Token
	for _, text := range texts {
		t, err := v.token(r, text, secrets)
		if err == errForged {
			return -1, nil
		}
		if err != nil {
			return -1, err
		}
		tokens = append(tokens, t)
	}
	if v.Check != nil && v.Check(r, tokens) != nil {
		return -1, nil
	}
	return max(tokens[0].secret, 0), nil
}

// find returns the tokens of a request, at least one.
func (v *verifier) find(r *provider.Request) ([]string, error) {
	switch {
	case v.Query != "":
		_, raw, _ := strings.Cut(r.URL, "?")
		values, err := url.ParseQuery(raw)
		if err != nil || len(values[v.Query]) != 1 || values.Get(v.Query) == "" {
			return nil, errors.New("the URL needs exactly one token")
		}
		return values[v.Query], nil
	case v.Path != "":
		return v.inBody(r.Body)
	}
	name := textproto.CanonicalMIMEHeaderKey(v.Header)
	lines := r.Header[name]
	if len(lines) != 1 {
		return nil, errors.New("header " + name + " must occur exactly once")
	}
	if len(lines[0]) < len(v.Prefix) || !strings.EqualFold(lines[0][:len(v.Prefix)], v.Prefix) {
		return nil, errors.New(name + " has no token")
	}
	return []string{lines[0][len(v.Prefix):]}, nil
}

// inBody returns the token or the tokens at v.Path.
func (v *verifier) inBody(body []byte) ([]string, error) {
	found := decode.Field(body, v.Path)
	var list []string
	if !strings.HasPrefix(found, "[") {
		list = []string{found}
	} else if json.Unmarshal([]byte(found), &list) != nil {
		return nil, errors.New("the tokens in the body are not an array of strings")
	}
	if len(list) == 0 || list[0] == "" {
		return nil, errors.New("no token in the body")
	}
	if len(list) > maxTokens {
		return nil, errors.New("too many tokens in the body")
	}
	return list, nil
}

// header is what an unverified token says about itself.
type header struct {
	Algorithm string          `json:"alg"`
	KeyID     string          `json:"kid"`
	Critical  json.RawMessage `json:"crit"`
}

var (
	errSyntax   = errors.New("the token is not a JWS in compact form")
	errCritical = errors.New("the token has a crit header, which is not supported")
)

// parseHeader reads the header of an unverified token. A name that occurs twice is an error.
func parseHeader(text string) (h header, err error) {
	if len(text) > maxToken {
		return h, errors.New("the token is too long")
	}
	return parseJWSHeader(text)
}

func parseJWSHeader(text string) (h header, err error) {
	first, rest, _ := strings.Cut(text, ".")
	if strings.Count(rest, ".") != 1 || strings.ContainsFunc(text, notBase64URL) {
		return h, errSyntax
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil || json.Unmarshal(raw, &h) != nil {
		return h, errSyntax
	}
	if h.Critical != nil {
		return h, errCritical
	}
	if len(h.KeyID) > maxKeyID {
		return h, errSyntax
	}
	return h, nil
}

func notBase64URL(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
}

// token verifies a token.
func (v *verifier) token(r *provider.Request, text string, secrets []string) (*Token, error) {
	h, err := parseHeader(text)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(v.Algorithms, h.Algorithm) {
		return nil, errForged
	}
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.Algorithm)})
	if err != nil {
		return nil, errSyntax
	}
	t := &Token{secret: -1}
	payload, err := v.payload(r, jws, h, secrets, t)
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(payload, &t.Claims) != nil || t.Claims == nil {
		return nil, errors.New("the claims of the token are not a JSON object")
	}
	if !v.claims(r, t) {
		return nil, errForged
	}
	return t, nil
}

// payload returns the verified payload of a token.
func (v *verifier) payload(r *provider.Request, jws *jose.JSONWebSignature, h header, secrets []string, t *Token) ([]byte, error) {
	if v.hmac {
		for i, s := range secrets {
			if payload, err := jws.Verify(padded(s)); err == nil {
				t.secret = i
				return payload, nil
			}
		}
		return nil, errForged
	}
	if len(v.pinned) == 0 {
		key, err := v.Keys.Key(r, h.KeyID)
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, errForged
		}
		t.Key = key
		return v.check(r, jws, h, key)
	}
	for i, k := range v.pinned {
		payload, err := v.check(r, jws, h, &k.Key)
		if err == nil {
			t.secret, t.Key = i, &k.Key
		}
		if err != errForged {
			return payload, err
		}
	}
	return nil, errForged
}

// check verifies the signature of a token with a public key.
func (v *verifier) check(r *provider.Request, jws *jose.JSONWebSignature, h header, key *Key) ([]byte, error) {
	if key.Algorithm != "" && key.Algorithm != h.Algorithm || !fits(key.Public, h.Algorithm) {
		return nil, errForged
	}
	if err := v.slots.take(r); err != nil {
		return nil, err
	}
	defer v.slots.leave()
	payload, err := jws.Verify(key.Public)
	if err != nil {
		return nil, errForged
	}
	return payload, nil
}

// padded returns the key of an HMAC. Some senders issue keys that are shorter than the hash, which
// the library refuses; RFC 2104 pads a key with zeros, and the result is the same.
func padded(secret string) []byte {
	return append([]byte(secret), make([]byte, max(sha256.BlockSize-len(secret), 0))...)
}

// fits reports whether a key is for an algorithm, and strong enough.
func fits(key crypto.PublicKey, algorithm string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")) && k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
	case *ecdsa.PublicKey:
		switch algorithm {
		case "ES256":
			return k.Curve == elliptic.P256()
		case "ES384":
			return k.Curve == elliptic.P384()
		case "ES512":
			return k.Curve == elliptic.P521()
		}
	case ed25519.PublicKey:
		return algorithm == "EdDSA" && len(k) == ed25519.PublicKeySize
	}
	return false
}

// claims reports whether the claims of a token with a valid signature are accepted.
func (v *verifier) claims(r *provider.Request, t *Token) bool {
	if len(v.Issuers) > 0 && !slices.Contains(v.Issuers, t.text("iss")) {
		return false
	}
	if len(v.Audiences) > 0 && !slices.ContainsFunc(t.audiences(), func(a string) bool { return slices.Contains(v.Audiences, a) }) {
		return false
	}
	for name, accepted := range v.Claims {
		if _, ok := t.Claims[name]; !ok || !slices.Contains(accepted, t.Claim(name)) {
			return false
		}
	}
	_, hashed := t.Claims[v.BodyHash]
	needed := hashed || len(r.Body) > 0 || v.URLHash == "" // without a body, the query may be the payload
	if v.BodyHash != "" && needed && !isHash(t.text(v.BodyHash), r.Body) || v.URLHash != "" && !isHash(t.text(v.URLHash), []byte(r.URL)) {
		return false
	}
	return v.timely(t, now(r))
}

// timely reports whether a token is valid at a time (RFC 7519, section 4.1).
func (v *verifier) timely(t *Token, now time.Time) bool {
	at, leeway := seconds(now), v.Leeway.Seconds()
	expires, hasExpiry, ok := t.time("exp")
	if !ok || hasExpiry && at >= expires+leeway || !hasExpiry && v.MaxAge == 0 {
		return false
	}
	begins, has, ok := t.time("nbf")
	if !ok || has && at < begins-leeway {
		return false
	}
	issued, has, ok := t.time("iat")
	if !ok || has && at < issued-leeway || !has && v.MaxAge > 0 {
		return false
	}
	return v.MaxAge == 0 || at <= issued+v.MaxAge.Seconds()+leeway
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// text returns a claim that is a string, or "".
func (t *Token) text(name string) (text string) {
	if json.Unmarshal(t.Claims[name], &text) != nil {
		return ""
	}
	return text
}

// audiences returns aud, which is a string or an array of strings.
func (t *Token) audiences() (list []string) {
	if one := t.text("aud"); one != "" {
		return []string{one}
	}
	if json.Unmarshal(t.Claims["aud"], &list) != nil {
		return nil
	}
	return list
}

// time returns a claim that is a NumericDate. ok is false if it is anything else.
func (t *Token) time(name string) (seconds float64, has, ok bool) {
	raw, has := t.Claims[name]
	if !has {
		return 0, false, true
	}
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &seconds) != nil || math.IsNaN(seconds) || math.IsInf(seconds, 0) {
		return 0, true, false
	}
	return seconds, true, true
}

// isHash reports whether text is the SHA-256 of data, in hex or Base64.
func isHash(text string, data []byte) bool {
	var raw []byte
	var err error
	if len(text) == hex.EncodedLen(sha256.Size) {
		raw, err = hex.DecodeString(text)
	} else {
		raw, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	sum := sha256.Sum256(data)
	return err == nil && subtle.ConstantTimeCompare(raw, sum[:]) == 1
}

func now(r *provider.Request) time.Time {
	if r.Time.IsZero() {
		return time.Now()
	}
	return r.Time
}

// parsePEM parses a public or a private key. Its errors do not quote it.
func parsePEM(text string) (*pinnedKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not a key in PEM")
	}
	k := &pinnedKey{}
	if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		signer, ok := parsed.(crypto.Signer)
		if !ok {
			return nil, errors.New("is not a key for a signature")
		}
		k.private, k.Public = signer, signer.Public()
		return k, nil
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is neither a public key (SPKI) nor a private key (PKCS #8)")
	}
	k.Public = public
	return k, nil
}

// unambiguous refuses a JSON body with two names in an object that are equal or differ only in
// case, which encoding/json does not distinguish: the consumer might read the one that was not
// verified.
func unambiguous(body []byte) error {
	var value any
	if json.Unmarshal(body, &value) != nil { // which refuses equal names
		return errors.New("the body is not valid JSON, or an object in it has a duplicate name")
	}
	if hasTwins(value) {
		return errors.New("an object in the body has names that differ only in case")
	}
	return nil
}

func hasTwins(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, hasTwins)
	case map[string]any:
		names := make(map[string]bool, len(v))
		for name, value := range v {
			folded := strings.ToLower(strings.ToUpper(name))
			if names[folded] || hasTwins(value) {
				return true
			}
			names[folded] = true
		}
	}
	return false
}
