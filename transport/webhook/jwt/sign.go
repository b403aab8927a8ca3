package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// sign makes r a delivery with a token that the first secret signs. The token is valid for five
// minutes.
func (v *verifier) sign(r *provider.Request, id, secret string) error {
	claims := map[string]any{"iat": now(r).Unix(), "exp": now(r).Unix() + 300}
	if id != "" {
		claims["jti"] = id
	}
	if len(v.Issuers) > 0 {
		claims["iss"] = v.Issuers[0]
	}
	if len(v.Audiences) > 0 {
		claims["aud"] = v.Audiences[0]
	}
	for name, values := range v.Claims {
		claims[name] = values[0]
		if values[0] == "true" {
			claims[name] = true
		}
	}
	if v.BodyHash != "" {
		claims[v.BodyHash] = hexHash(r.Body)
	}
	if v.URLHash != "" {
		claims[v.URLHash] = hexHash([]byte(r.URL))
	}
	text, err := v.signed(claims, secret)
	if err != nil {
		return err
	}
	return v.put(r, text)
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// signed returns a token with the given claims.
func (v *verifier) signed(claims map[string]any, secret string) (string, error) {
	key := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(v.Algorithms[0]), Key: padded(secret)}
	if !v.hmac {
		if len(v.pinned) == 0 || v.pinned[0].private == nil {
			return "", errors.New("cannot sign: the first secret is not a private key")
		}
		key.Key = v.pinned[0].private
		i := slices.IndexFunc(v.Algorithms, func(a string) bool { return fits(v.pinned[0].Public, a) })
		if i < 0 {
			return "", errors.New("cannot sign: the first secret is not a key for Scheme.Algorithms")
		}
		key.Algorithm = jose.SignatureAlgorithm(v.Algorithms[i])
	}
	switch key.Key.(type) {
	case []byte, *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		return "", errors.New("cannot sign: the first secret is a key of an unknown type")
	}
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// put puts a token where the sender does.
func (v *verifier) put(r *provider.Request, text string) error {
	switch {
	case v.Query != "":
		u, err := url.Parse(r.URL)
		if err != nil {
			return errors.New("the URL cannot be parsed")
		}
		q := u.Query()
		q.Set(v.Query, text)
		u.RawQuery = q.Encode()
		r.URL = u.String()
		return nil
	case v.Path != "":
		var body map[string]json.RawMessage
		if json.Unmarshal(r.Body, &body) != nil || body == nil {
			return errors.New("the body to sign is not a JSON object")
		}
		var err error
		if body[v.Path], err = json.Marshal([]string{text}); err != nil {
			return err
		}
		r.Body, err = json.Marshal(body)
		return err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(v.Header, v.Prefix+text)
	return nil
}
