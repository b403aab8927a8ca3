package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
)

// roundTripper returns the RoundTripper of one connection. Without one of the caller, it is a
// new http.Transport whose sockets are closed when ctx ends.
//
// net/http continues a dial after its request was canceled, and keeps connections, because the
// next request might use them. Here there is no next request.
func (h *HTTP) roundTripper(ctx context.Context) http.RoundTripper {
	if h.Client != nil && h.Client.Transport != nil {
		return h.Client.Transport
	}
	ping := orDefault(h.PingInterval, defaultPingInterval)
	return &http.Transport{
		Proxy: proxyFromEnvironment,

		OnProxyConnectResponse: refusedByProxy,
		DialContext:            inBursts(dialWithin(ctx, &net.Dialer{Timeout: dialTimeout})),
		TLSHandshakeTimeout:    dialTimeout,
		ReadBufferSize:         readBuffer,
		WriteBufferSize:        writeBuffer,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: ping, PingTimeout: ping / 2},
		DisableCompression:     true, // see acceptEncoding

		// Keep none idle: net/http writes to the standard logger what a server sends on an idle
		// connection, which may be the rest of a body longer than its Content-Length.
		MaxIdleConnsPerHost: -1,
	}
}

// proxyFromEnvironment replaces the error for an invalid proxy address, which may contain a
// password.
func proxyFromEnvironment(req *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("invalid proxy address in the environment")
	}
	return proxy, nil
}

// dialWithin ends a dial, and closes the connection that it returned, when life ends.
func dialWithin(life context.Context, d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(life, func() { conn.Close() })
		return conn, nil
	}
}
