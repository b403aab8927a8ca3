package jwt

import (
	"crypto"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A Scheme verifies a JSON Web Token (RFC 7519) that comes with a request. It is a
// [provider.Scheme], and a value: to change a preset, copy its Scheme, change the copy, and set
// it.
//
// The token must be signed with one of Algorithms and a key that Keys has, or that is a secret of
// the provider. What the token itself says about keys, in jku, jwk, x5u and x5c, is ignored. A
// token with a crit header is refused.
//
// A secret is the key of an HMAC; for other algorithms it is a public key in PEM, or a private
// key in PEM, with which Provider.Sign works. With such secrets, Keys is not used.
type Scheme struct {
	Header string // the header with the token. Default: Authorization, unless Query or Path is set.
	Prefix string // before the token in Header, such as "Bearer "; its case is ignored
	Query  string // the URL parameter that is the token
	Path   string // the gjson path of a token in the JSON body, or of an array of tokens that must all be valid

	// Algorithms are those that a token may use, such as "RS256" (RFC 7518, section 3.1, and
	// EdDSA of RFC 8037). Those that begin with HS are not mixed with others. Required.
	Algorithms []string

	// Keys has the public keys. Required unless the algorithms are HMACs or secrets are set.
	Keys KeySource

	Issuers   []string // the accepted values of iss; required with Keys, unless BodyHash is set. Default: any.
	Audiences []string // a token needs one of them in aud; required with Keys, unless BodyHash is set. Default: any.

	// Claims are further claims, each with its accepted values. A value that is not a string is
	// compared as it is written in JSON, such as "true". Default: none.
	Claims map[string][]string

	// BodyHash is the claim with the SHA-256 of the body, in hex or Base64. A token without it is
	// refused, unless the body is empty and URLHash is set. Default: none, and the body is not protected.
	BodyHash string

	// URLHash is the claim with the SHA-256 of the URL, in hex or Base64. Receiver.URL is then
	// required. Default: none.
	URLHash string

	// MaxAge is the maximum age of a token by its iat claim, which is then required. Default: no
	// limit, and exp is required.
	MaxAge time.Duration

	// Leeway is the maximum difference of the clocks. Negative: none. Default: 1 min.
	Leeway time.Duration

	// Check verifies more, after everything else. tokens are all that the request has. If it
	// returns an error, the request is refused as forged; the text is not used. It may be called
	// concurrently. Default: none.
	Check func(r *provider.Request, tokens []*Token) error

	//lint:ignore U1000 its methods make this type a provider.Scheme; it is nil
	scheme
}

//lint:ignore U1000 it is embedded
type scheme = provider.Scheme

// A KeySource has public keys by their id, the kid of a token (RFC 7515, section 4.1.4).
type KeySource interface {
	// Key returns a key, or nil if there is none with that id. An error with a method Busy() bool
	// that returns true asks the sender to try again. id comes from an unverified token: what it
	// can cause must be limited. Key should not wait beyond r.Context and r.Deadline, except for a
	// fetch that serves other requests too. It may be called concurrently.
	Key(r *provider.Request, id string) (*Key, error)
}

// A Key is a public key.
type Key struct {
	Public    crypto.PublicKey // an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	Algorithm string           // the only one for which it may be used; "": any that fits
	JSON      []byte           // the JSON Web Key that it was; or empty
}

const defaultLeeway = time.Minute

// Custom returns what package provider uses.
func (s Scheme) Custom() provider.Custom {
	v := &verifier{Scheme: s, slots: newSlots()}
	if v.Header == "" && v.Query == "" && v.Path == "" {
		v.Header = "Authorization"
	}
	switch {
	case v.Leeway == 0:
		v.Leeway = defaultLeeway
	case v.Leeway < 0:
		v.Leeway = 0
	}
	c := provider.Custom{
		Validate: v.validate, Precheck: v.precheck, Verify: v.verify, Sign: v.sign,
		Headers: []string{v.Header}, SignsURL: s.URLHash != "",
		Causes: []string{"wrong key, issuer, audience or claim", "clock skew or an old token"},
		Proof:  transport.ProofBearer,
	}
	if s.BodyHash != "" {
		c.Proof = transport.ProofBody
		c.Causes = append(c.Causes, "body modified in transit")
	}
	if s.URLHash != "" {
		c.Causes = append(c.Causes, "Receiver.URL differs from the sender's URL")
	}
	return c
}

// algorithms are those of RFC 7518 and RFC 8037 that are signatures.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func isHMAC(algorithm string) bool { return strings.HasPrefix(algorithm, "HS") }

// validate reports every error in the configuration and in the secrets.
func (v *verifier) validate(secrets []string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("Scheme."+format, args...)) }
	places := 0
	for _, at := range []string{v.Header, v.Query, v.Path} {
		if at != "" {
			places++
		}
	}
	if places > 1 {
		bad("Header, Query and Path: set only one")
	}
	if v.Prefix != "" && v.Header == "" {
		bad("Prefix needs Header")
	}
	if v.MaxAge < 0 {
		bad("MaxAge is negative")
	}
	if len(v.Algorithms) == 0 {
		bad("Algorithms is empty")
	}
	hmacs := 0
	for _, a := range v.Algorithms {
		if !slices.Contains(algorithms, a) {
			bad("Algorithms: %q is not a signature algorithm of RFC 7518 or RFC 8037", a)
		}
		if isHMAC(a) {
			hmacs++
		}
	}
	v.hmac = hmacs > 0
	switch {
	case v.hmac && hmacs < len(v.Algorithms):
		bad("Algorithms mixes HMACs with public-key algorithms")
	case v.hmac && v.Keys != nil:
		bad("Keys is for public-key algorithms; the secrets are the keys of an HMAC")
	case v.hmac && len(secrets) == 0:
		errs = append(errs, errors.New("no secret: use SetSecrets"))
	case !v.hmac && v.Keys == nil && len(secrets) == 0:
		bad("Keys is nil")
	case !v.hmac && v.BodyHash == "" && len(v.Audiences) == 0:
		bad("Audiences is empty: any token of the issuer would be accepted")
	case !v.hmac && v.BodyHash == "" && len(v.Issuers) == 0:
		bad("Issuers is empty: a key may be that of several issuers")
	}
	if slices.Contains(v.Issuers, "") {
		bad("Issuers has an empty value")
	}
	if slices.Contains(v.Audiences, "") {
		bad("Audiences has an empty value")
	}
	for _, name := range slices.Sorted(maps.Keys(v.Claims)) {
		if values := v.Claims[name]; len(values) == 0 || slices.Contains(values, "") {
			bad("Claims[%q] is empty, or has an empty value", name)
		}
	}
	if k, ok := v.Keys.(interface{ Validate() error }); ok {
		if err := k.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("Scheme.Keys: %w", err))
		}
	}
	if !v.hmac {
		for i, text := range secrets {
			key, err := parsePEM(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("secret %d %w", i, err))
			}
			v.pinned = append(v.pinned, key)
		}
	}
	return errors.Join(errs...)
}
