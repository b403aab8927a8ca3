package provider

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"sync"
	"syscall"
	"time"
)

const (
	maxFetched      = 64 << 10
	maxCertificates = 16
	maxFetches      = 4
	fetchTimeout    = 5 * time.Second
)

// certificates fetches signing certificates and caches their public keys.
type certificates struct {
	client http.Client
	path   *regexp.Regexp
	slots  chan struct{} // limits concurrent fetches, which an unverified request can cause
	mu     sync.Mutex    // guards known; not held during a fetch
	known  map[string]certificate
}

type certificate struct {
	key     *rsa.PublicKey
	expires time.Time
}

func newCertificates(client *http.Client) *certificates {
	c := *client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &certificates{
		client: c,
		slots:  make(chan struct{}, maxFetches),
		path:   regexp.MustCompile(`^/SimpleNotificationService-[0-9a-f]{1,64}\.pem$`),
		known:  map[string]certificate{},
	}
}

// key returns the key of the certificate at rawURL, which must be at host.
func (c *certificates) key(host, rawURL string) (*rsa.PublicKey, error) {
	u, err := url.Parse(rawURL)
	if err != nil || host == "" || u.Scheme != "https" || u.Host != host || u.User != nil || u.RawQuery != "" || !c.path.MatchString(u.EscapedPath()) {
		return nil, forged()
	}
	address := "https://" + host + u.EscapedPath()
	now := time.Now()
	c.mu.Lock()
	known, ok := c.known[address]
	c.mu.Unlock()
	if ok && now.Before(known.expires) {
		return known.key, nil
	}
	return c.fetch(address, now)
}

func (c *certificates) fetch(address string, now time.Time) (*rsa.PublicKey, error) {
	text, err := c.get(address)
	if err != nil {
		return nil, err
	}
	cert, err := parseCertificate(text)
	if err != nil {
		return nil, errFetch
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
		return nil, errFetch
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxCertificates {
		clear(c.known)
	}
	c.known[address] = certificate{key, cert.NotAfter}
	return key, nil
}

// get fetches an address that this package built. Its errors do not name the address, whose
// query may hold a secret.
func (c *certificates) get(address string) ([]byte, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return nil, errFetch
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errFetch
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, errFetch
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched+1))
	if err != nil || resp.StatusCode != http.StatusOK || len(body) > maxFetched {
		return nil, errFetch
	}
	return body, nil
}

// errFetch refuses a request that cannot be verified for now.
var errFetch error = &refusal{reason: "cannot fetch a valid signing certificate", busy: true}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("is not a certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// rsaKey parses a certificate or a private key in PEM.
func rsaKey(text string) (*rsa.PublicKey, *rsa.PrivateKey, error) {
	if cert, err := parseCertificate([]byte(text)); err == nil {
		if public, ok := cert.PublicKey.(*rsa.PublicKey); ok {
			return public, nil, nil
		}
	}
	if block, _ := pem.Decode([]byte(text)); block != nil {
		parsed, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
		if private, ok := parsed.(*rsa.PrivateKey); ok {
			return &private.PublicKey, private, nil
		}
	}
	return nil, nil, errors.New("is neither a certificate nor a private key for RSA in PEM")
}

// guardedClient returns a client that connects to public addresses only, without a proxy, and
// keeps no connection open.
func guardedClient() *http.Client {
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: publicOnly}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: fetchTimeout,
			MaxResponseHeaderBytes: maxFetched, ForceAttemptHTTP2: true,
		},
		Timeout: fetchTimeout,
	}
}

// publicOnly is a net.Dialer.Control that refuses addresses outside the public network.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return errors.New("the address is not public")
	}
	return nil
}
