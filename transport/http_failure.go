package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"sync/atomic"
)

// An exchangeTrace records how far a failed request got: net/http has no types for many
// failures. Its hooks may run after the request has failed.
type exchangeTrace struct {
	handshake atomic.Pointer[error] // why the TLS handshake failed
	connected atomic.Bool           // the connection exists, including the tunnel of a proxy
	answered  atomic.Bool           // the peer has sent something after the handshake
	traced    atomic.Bool           // the RoundTripper calls these hooks
}

func (x *exchangeTrace) with(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				x.handshake.Store(&err)
			}
		},
		GetConn:              func(string) { x.traced.Store(true) },
		GotConn:              func(httptrace.GotConnInfo) { x.connected.Store(true) },
		GotFirstResponseByte: func() { x.answered.Store(true) },
	})
}

// broken classifies an error of the RoundTripper, alike for HTTP feeds and WebSockets.
func (a *attempt) broken(req *http.Request, x *exchangeTrace, err error) error {
	var refusal *StatusError
	if errors.As(err, &refusal) && refusal.proxy {
		return refusal
	}
	explained := x.explain(err)
	if proxy := a.proxyOf(req); explained == err && proxy != nil && !x.connected.Load() && !isOfNetwork(err) {
		explained = &misdirected{err, "proxy " + originOf(proxy)} // an http.Transport without refusedByProxy
	}
	return &failed{a.shown(req.URL), explained}
}

// explain adds the remedy to errors whose text has none, and the method Protocol to those that
// are not network failures although their types do not show it.
func (x *exchangeTrace) explain(err error) error {
	var header tls.RecordHeaderError
	handshake := x.handshake.Load()
	switch {
	case errors.As(err, &header):
		return &misdirected{err, "peer does not speak TLS (does the URL need http or ws?)"}
	case refusesCertificate(err):
		return &misdirected{err, "peer rejected the client certificate or requires one (set TLSClientConfig of Client.Transport)"}
	case isOfNetwork(err):
		return err
	case handshake != nil && errors.Is(err, *handshake):
		return &misdirected{err, "TLS handshake failed"}
	case x.answered.Load():
		return &misdirected{err, "response is not HTTP (does the URL need https or wss?)"}
	}
	return err
}

// isOfNetwork reports whether the type of an error classifies it.
func isOfNetwork(err error) bool {
	var network net.Error
	var certificate *tls.CertificateVerificationError
	var retryable interface{ Retryable() bool }
	return errors.As(err, &network) || errors.As(err, &certificate) || errors.As(err, &retryable) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}

// refusesCertificate reports whether the peer sent an alert about the client's certificate (RFC
// 8446, section 6.2). crypto/tls does not export the error's type, which is an integer.
func refusesCertificate(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return false
	}
	switch v.Uint() {
	case 42, 43, 44, 45, 46, 48, 49, 116:
		return true
	}
	return false
}

// misdirected is the failure of a peer that may not be the intended one.
type misdirected struct {
	err  error
	text string
}

func (e *misdirected) Error() string  { return e.text + ": " + redact(e.err) }
func (e *misdirected) Unwrap() error  { return e.err }
func (e *misdirected) Protocol() bool { return true }

// refusedByProxy is the OnProxyConnectResponse of an http.Transport. It treats a proxy's
// response to CONNECT like the status of a server.
func refusedByProxy(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &StatusError{Code: resp.StatusCode, Header: resp.Header, Origin: originOf(proxy), proxy: true}
}

// proxyOf returns the proxy that a request goes through, as far as it is known.
func (a *attempt) proxyOf(req *http.Request) *url.URL {
	t, ok := a.rt.(*http.Transport)
	if !ok || t.Proxy == nil {
		return nil
	}
	proxy, _ := t.Proxy(req)
	return proxy
}

// shown returns the origin of u for an error.
func (a *attempt) shown(u *url.URL) string {
	return a.protocol.origin(originOf(u))
}
