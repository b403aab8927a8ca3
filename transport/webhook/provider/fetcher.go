package provider

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	maxFetched   = 64 << 10
	fetchTimeout = 5 * time.Second
)

// A Fetcher fetches what signatures are verified with, such as certificates and key sets. The
// zero value is ready for use.
type Fetcher struct {
	// Client sends the requests. Its redirect policy is ignored. Default: a client that connects
	// to public addresses only, without a proxy, and keeps no connection open.
	Client *http.Client

	// MaxSize is the maximum size of a response body in bytes. Default: 64 KiB.
	MaxSize int
}

// Do sends a request, which must use https, and returns the response with its whole body. It
// follows no redirect and ends after 5 s. The text of its error has neither the URL nor anything
// that the server sent, because either may hold a secret. Do may be called concurrently.
func (f *Fetcher) Do(req *http.Request) (resp *http.Response, body []byte, err error) {
	if req.URL.Scheme != "https" || req.URL.Host == "" || req.URL.User != nil {
		return nil, nil, errors.New("the URL is not https, or has a user")
	}
	ctx, cancel := context.WithTimeout(req.Context(), fetchTimeout)
	defer cancel()
	resp, err = f.client().Do(req.WithContext(ctx))
	if err != nil {
		return nil, nil, fetchFailure(err)
	}
	defer resp.Body.Close()
	limit := cmp.Or(max(f.MaxSize, 0), maxFetched)
	body, err = io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, nil, fetchFailure(err)
	case len(body) > limit:
		return nil, nil, fmt.Errorf("the response is larger than %d bytes", limit)
	}
	return resp, body, nil
}

// get fetches a document. Any status other than 200 is a failure.
func (f *Fetcher) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the URL is malformed")
	}
	resp, body, err := f.Do(req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the response has status %d", resp.StatusCode)
	}
	return body, nil
}

func (f *Fetcher) client() *http.Client {
	c := guardedClient()
	if f.Client != nil {
		copied := *f.Client
		c = &copied
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// fetchFailure describes a failure without quoting it.
func fetchFailure(err error) error {
	var timeout interface{ Timeout() bool }
	var unknown *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errNotPublic):
		return errNotPublic
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the server did not answer in time")
	case errors.As(err, &unknown):
		return errors.New("the name of the server cannot be resolved")
	case errors.As(err, &certificate):
		return errors.New("the TLS certificate of the server is not trusted")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the server refuses connections")
	}
	return errors.New("the connection to the server failed")
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
	}
}

var errNotPublic = errors.New("the address of the server is not public")

// publicOnly is a net.Dialer.Control that refuses addresses outside the public network.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return errNotPublic
	}
	return nil
}
