package jwt

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// An AppStore verifies what the App Store signs: server notifications in version 2, and the
// transactions in them. It is a [provider.Scheme], and a value.
//
// A signature must be made by a certificate that Apple has marked for the App Store, issued by one
// that it has marked for such certificates, issued by Apple's root. They must be valid when the
// payload was signed. Revocation is not checked.
type AppStore struct {
	BundleID   string // of the app. Required.
	AppAppleID int64  // of the app. Required unless Sandbox is set.
	Sandbox    bool   // accept the sandbox environment instead of production

	// Decode makes the event the verified payload, instead of the body with signedPayload. The
	// transactions in it are still signed: see Verify.
	Decode bool

	// Roots are used instead of Apple Root CA - G3.
	Roots *x509.CertPool

	//lint:ignore U1000 its methods make this type a provider.Scheme; it is nil
	scheme
}

// AppStoreNotifications returns the Provider for the server notifications of an app, in version 2.
// A notification may be seven days old, because Apple repeats one for six and a half days and does
// not document a new signature. Sign does not work.
// (https://developer.apple.com/documentation/appstoreservernotifications)
func AppStoreNotifications(s AppStore) *provider.Provider {
	return &provider.Provider{
		Name:  "appstore",
		Retry: provider.Retry{Waits: []time.Duration{time.Hour, 12 * time.Hour, day, 2 * day, 3 * day}, Verbatim: true},
		Answers: provider.Answers{
			Accepted: provider.Answer{Status: 200}, // 200 to 206 are accepted
		},
		Scheme: s,
		ID:     provider.Source{Path: []string{"notificationUUID"}},
		Payload: provider.Payload{
			ID:   provider.Source{Path: []string{"notificationUUID"}},
			Type: provider.Source{Path: []string{"notificationType"}},
		},
		Respond: identify,
	}
}

const maxNotificationAge = 7 * day

// Custom returns what package provider uses.
func (s AppStore) Custom() provider.Custom {
	slots := newSlots()
	c := provider.Custom{
		Validate: s.validate,
		Verify: func(r *provider.Request, _ []string) (int, error) {
			text, err := signedPayload(r.Body)
			if err != nil {
				return -1, err
			}
			if err := slots.take(r); err != nil {
				return -1, err
			}
			defer slots.leave()
			payload, err := s.notification(text, now(r))
			if err != nil {
				return -1, keepSyntax(err)
			}
			if s.Decode {
				r.Body = payload
			}
			return 0, nil
		},
		Causes: []string{"another app or environment", "an old notification", "not signed by the App Store"},
		Proof:  transport.ProofMetadata,
	}
	if s.Decode {
		c.Proof = transport.ProofBody
	}
	return c
}

// keepSyntax returns err if it is about a malformed request, and nil if it is about a forged one.
func keepSyntax(err error) error {
	if err == errSyntax || err == errCritical {
		return err
	}
	return nil
}

func (s AppStore) validate(secrets []string) error {
	var errs []error
	if s.BundleID == "" {
		errs = append(errs, errors.New("AppStore.BundleID is empty"))
	}
	if s.AppAppleID == 0 && !s.Sandbox {
		errs = append(errs, errors.New("AppStore.AppAppleID is required unless Sandbox is set"))
	}
	if len(secrets) > 0 {
		errs = append(errs, errors.New("AppStore takes no secrets: set Roots to trust another authority"))
	}
	return errors.Join(errs...)
}

// signedPayload returns the JWS in a body.
func signedPayload(body []byte) (string, error) {
	var b struct {
		SignedPayload string `json:"signedPayload"`
	}
	if err := unambiguous(body); err != nil {
		return "", err
	}
	if json.Unmarshal(body, &b) != nil || b.SignedPayload == "" {
		return "", errors.New("no signedPayload in the body")
	}
	return b.SignedPayload, nil
}

// identify gives the event of a delivery whose body is not decoded its id and its type.
func identify(r *provider.Request, d *provider.Delivery) *provider.Answer {
	text, err := signedPayload(r.Body)
	if err != nil || len(d.Events) != 1 {
		return nil // decoded
	}
	var n struct {
		UUID string `json:"notificationUUID"`
		Type string `json:"notificationType"`
	}
	_, rest, _ := strings.Cut(text, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil || json.Unmarshal(payload, &n) != nil {
		return nil
	}
	d.ID, d.Signed = n.UUID, n.UUID != ""
	d.Events[0].ID, d.Events[0].Type = n.UUID, n.Type
	return nil
}

// Verify returns the payload of a JWS that the App Store has signed, such as
// signedTransactionInfo and signedRenewalInfo in a notification. It does not check for which app
// the payload is.
func (s AppStore) Verify(jws string) ([]byte, error) {
	payload, _, err := s.open(jws)
	if err == errForged {
		err = errors.New("jwt: the payload is not signed by the App Store")
	}
	return payload, err
}

// app is what a notification is about.
type app struct {
	BundleID    string `json:"bundleId"`
	AppAppleID  int64  `json:"appAppleId"`
	Environment string `json:"environment"`
	PurchaseID  string `json:"externalPurchaseId"`
}

// notification returns the payload of a notification that is for this app and not too old.
func (s AppStore) notification(jws string, now time.Time) ([]byte, error) {
	payload, signed, err := s.open(jws)
	if err != nil {
		return nil, err
	}
	if now.Sub(signed).Abs() > maxNotificationAge {
		return nil, errForged
	}
	var n struct {
		Data     *app `json:"data"`
		Summary  *app `json:"summary"`
		External *app `json:"externalPurchaseToken"`
		AppData  *app `json:"appData"`
	}
	if json.Unmarshal(payload, &n) != nil {
		return nil, errForged
	}
	var about *app
	switch {
	case n.Data != nil:
		about = n.Data
	case n.Summary != nil:
		about = n.Summary
	case n.External != nil:
		about = n.External
		about.Environment = "Production"
		if strings.HasPrefix(about.PurchaseID, "SANDBOX") {
			about.Environment = "Sandbox"
		}
	case n.AppData != nil:
		about = n.AppData
	default:
		return nil, errForged
	}
	want := "Production"
	if s.Sandbox {
		want = "Sandbox"
	}
	if about.Environment != want || about.BundleID != s.BundleID || !s.Sandbox && about.AppAppleID != s.AppAppleID {
		return nil, errForged
	}
	return payload, nil
}

// open returns the payload of a JWS and when it was signed.
func (s AppStore) open(jws string) (payload []byte, signed time.Time, err error) {
	h, err := parseJWSHeader(jws)
	if err != nil {
		return nil, signed, err
	}
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || h.Algorithm != "ES256" {
		return nil, signed, errForged
	}
	var date struct {
		Signed int64 `json:"signedDate"`
	}
	if json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &date) != nil || date.Signed <= 0 {
		return nil, signed, errForged
	}
	signed = time.UnixMilli(date.Signed)
	chain, err := certificates(jws)
	if err != nil {
		return nil, signed, err
	}
	if err := s.verifyChain(chain, signed); err != nil {
		return nil, signed, errForged
	}
	if !fits(chain[0].PublicKey, "ES256") {
		return nil, signed, errForged
	}
	if payload, err = parsed.Verify(chain[0].PublicKey); err != nil {
		return nil, signed, errForged
	}
	return payload, signed, nil
}

// certificates returns those in the header of a JWS (RFC 7515, section 4.1.6).
func certificates(jws string) (chain []*x509.Certificate, err error) {
	first, _, _ := strings.Cut(jws, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	var header struct {
		X5C []string `json:"x5c"`
	}
	if err != nil || json.Unmarshal(raw, &header) != nil {
		return nil, errSyntax
	}
	if len(header.X5C) != 3 {
		return nil, errForged
	}
	for _, text := range header.X5C {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errForged
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errForged
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// Apple's marks of a certificate that signs for the App Store, and of one that issues such
// certificates.
var (
	leafMark   = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	issuerMark = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

// verifyChain verifies a certificate, its issuer and the root. The root in the chain is one that a
// forger could have made; that of Apple is used.
func (s AppStore) verifyChain(chain []*x509.Certificate, at time.Time) error {
	roots := s.Roots
	if roots == nil {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(appleRoot))
	}
	leaf, issuer := chain[0], chain[1]
	if leaf.IsCA || !issuer.IsCA || !marked(leaf, leafMark) || !marked(issuer, issuerMark) {
		return errors.New("not certificates of the App Store")
	}
	between := x509.NewCertPool()
	between.AddCert(issuer)
	verified, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return err
	}
	for _, c := range verified {
		if len(c) == 3 && bytes.Equal(c[1].Raw, issuer.Raw) {
			return nil
		}
	}
	return errors.New("the issuer did not issue the certificate")
}

func marked(c *x509.Certificate, mark asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(mark) {
			return true
		}
	}
	return false
}

// appleRoot is Apple Root CA - G3 (https://www.apple.com/certificateauthority/), valid until 2039.
const appleRoot = `-----BEGIN CERTIFICATE-----
MIICQzCCAcmgAwIBAgIILcX8iNLFS5UwCgYIKoZIzj0EAwMwZzEbMBkGA1UEAwwS
QXBwbGUgUm9vdCBDQSAtIEczMSYwJAYDVQQLDB1BcHBsZSBDZXJ0aWZpY2F0aW9u
IEF1dGhvcml0eTETMBEGA1UECgwKQXBwbGUgSW5jLjELMAkGA1UEBhMCVVMwHhcN
MTQwNDMwMTgxOTA2WhcNMzkwNDMwMTgxOTA2WjBnMRswGQYDVQQDDBJBcHBsZSBS
b290IENBIC0gRzMxJjAkBgNVBAsMHUFwcGxlIENlcnRpZmljYXRpb24gQXV0aG9y
aXR5MRMwEQYDVQQKDApBcHBsZSBJbmMuMQswCQYDVQQGEwJVUzB2MBAGByqGSM49
AgEGBSuBBAAiA2IABJjpLz1AcqTtkyJygRMc3RCV8cWjTnHcFBbZDuWmBSp3ZHtf
TjjTuxxEtX/1H7YyYl3J6YRbTzBPEVoA/VhYDKX1DyxNB0cTddqXl5dvMVztK517
IDvYuVTZXpmkOlEKMaNCMEAwHQYDVR0OBBYEFLuw3qFYM4iapIqZ3r6966/ayySr
MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMDA2gA
MGUCMQCD6cHEFl4aXTQY2e3v9GwOAEZLuN+yRhHFD/3meoyhpmvOwgPUnPWTxnS4
at+qIxUCMG1mihDK1A3UT82NQz60imOlM27jbdoXt2QfyFMm+YhidDkLF1vLUagM
6BgD56KyKA==
-----END CERTIFICATE-----
`
