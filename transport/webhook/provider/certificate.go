package provider

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"regexp"
	"time"
)

// newCertificates returns a cache of the public keys of certificates by URL. check, if any,
// verifies more than the time of a certificate.
func newCertificates(f *Fetcher, check func(address string, chain []*x509.Certificate) error) *Keys[*rsa.PublicKey] {
	return &Keys[*rsa.PublicKey]{Fetch: func(ctx context.Context, address string) (key *rsa.PublicKey, until time.Time, err error) {
		text, err := f.get(ctx, address)
		if err != nil {
			return nil, until, err
		}
		chain, err := parseCertificates(text)
		if err != nil {
			return nil, until, err
		}
		cert, now := chain[0], time.Now()
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		switch {
		case !ok || tooSmall(key):
			return nil, until, errors.New("the certificate has no RSA key of at least 2048 bits")
		case now.After(cert.NotAfter) || now.Before(cert.NotBefore):
			return nil, until, errors.New("the certificate is expired or not valid yet")
		}
		if check != nil {
			if err := check(address, chain); err != nil {
				return nil, until, err
			}
		}
		return key, cert.NotAfter, nil
	}}
}

// certificateURL returns rawURL if it is the https URL of a file at host, whose path matches
// path, and "" otherwise.
func certificateURL(rawURL, host string, path *regexp.Regexp) string {
	u, err := url.Parse(rawURL)
	if err != nil || host == "" || u.Scheme != "https" || u.Host != host || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || !path.MatchString(u.EscapedPath()) {
		return ""
	}
	return "https://" + host + u.EscapedPath()
}

// parseCertificates parses a certificate in PEM and those that follow it.
func parseCertificates(text []byte) (chain []*x509.Certificate, err error) {
	for range maxChain {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errCertificate
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errCertificate
		}
		chain, text = append(chain, cert), rest
	}
	if len(chain) == 0 {
		return nil, errCertificate
	}
	return chain, nil
}

const maxChain = 8 // certificates in one file

var errCertificate = errors.New("the response is not a certificate in PEM")

// rsaKey parses a certificate or a private key in PEM.
func rsaKey(text string) (*rsa.PublicKey, *rsa.PrivateKey, error) {
	k, err := RSASHA256.fromPEM(text)
	if r, ok := k.(*rsaPublicKey); ok && err == nil {
		return r.public, r.private, nil
	}
	return nil, nil, errors.New("is neither a certificate nor a private key for RSA in PEM")
}
