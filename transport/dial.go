package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
)

// readBuffer is that of a connection of our own, in bytes. It takes in what a busy sender
// writes at a time; with net/http's 4 KiB each chunk of it costs two reads.
const readBuffer = 32 << 10

// roundTripper returns what sends the requests of one connection. Unless the caller
// brought his own, it is a fresh http.Transport whose sockets are closed when ctx ends.
//
// net/http lets a dial go on after its request was cancelled, and keeps connections,
// because the next request might use them. Here there is no next request.
func (h *HTTP) roundTripper(ctx context.Context) http.RoundTripper {
	if h.Client != nil && h.Client.Transport != nil {
		return h.Client.Transport
	}
	ping := orDefault(h.PingInterval, defaultPingInterval)
	return &http.Transport{
		Proxy: proxyFromEnvironment,

		OnProxyConnectResponse: refusedByProxy,
		DialContext:            dialWithin(ctx, &net.Dialer{Timeout: dialTimeout}),
		TLSHandshakeTimeout:    dialTimeout,
		ReadBufferSize:         readBuffer,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: ping, PingTimeout: ping / 2},
		DisableCompression:     true, // see acceptEncoding

		// None is kept idle: net/http writes to the standard logger what a server sends on an
		// idle connection, which may be the rest of a body longer than its Content-Length.
		MaxIdleConnsPerHost: -1,
	}
}

// proxyFromEnvironment does not show the address of a proxy that cannot be read: a password
// may be in it.
func proxyFromEnvironment(req *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("the address of the proxy in the environment cannot be read")
	}
	return proxy, nil
}

// dialWithin ties what is dialled, and the dialling itself, to the life of ctx.
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
