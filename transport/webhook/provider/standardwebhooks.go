package provider

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
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
			Final: finalAfter(http.StatusGone), // disables the endpoint
		},
		Scheme:  newStandardScheme("Webhook"),
		Payload: Payload{Type: path("type")},
	}
	return p.with(secrets)
}

// standardScheme is the scheme of Standard Webhooks, https://www.standardwebhooks.com: v1 with
// an HMAC, v1a with Ed25519, or both in one list. It is not a Signature, whose Algorithm and
// Prefix would have no effect: each secret has its own.
type standardScheme struct{ Signature }

// newStandardScheme returns the scheme with headers whose names begin with name, or with one of
// others.
func newStandardScheme(name string, others ...string) standardScheme {
	s := Signature{
		Header: name + "-Signature", Separator: " ", Encoding: EncodingBase64, Key: EncodingBase64,
		ID: name + "-Id", Timestamp: Timestamp{Header: name + "-Timestamp"}, Signed: "{id}.{ts}.{body}",
		versionOf: standardVersion,
	}
	for _, other := range others {
		s.aliases = append(s.aliases, headerNames{other + "-Signature", other + "-Id", other + "-Timestamp"})
	}
	return standardScheme{s}
}

// standardVersion returns the version of a secret, v1 or v1a. A private key, "whsk_" and the
// Base64 of the seed or of the seed and the public key, becomes PEM.
func standardVersion(secret string) (version, error) {
	secret = strings.TrimPrefix(secret, "v1,") // as Supabase shows it
	if seed, ok := strings.CutPrefix(secret, "whsk_"); ok {
		text, err := seedPEM(seed)
		return version{Ed25519, "v1a,", text}, err
	}
	if text, ok := strings.CutPrefix(secret, "whpk_"); ok || isPEM(secret) {
		return version{Ed25519, "v1a,", text}, nil
	}
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok {
		return version{HMACSHA256, "v1,", text}, nil
	}
	return version{}, errStandard
}

var errStandard = errors.New(`does not begin with "whsec_", "whpk_" or "whsk_": write "whsec_" and the Base64 of the key`)

func seedPEM(encoded string) (string, error) {
	raw, err := EncodingBase64.key(encoded)
	if err != nil {
		return "", err
	}
	if len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return "", errors.New("is not an Ed25519 private key")
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}
