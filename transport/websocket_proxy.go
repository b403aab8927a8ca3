package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// net/http sends a plain ws handshake to an HTTP proxy like any http request. A proxy need not
// forward it, because Upgrade is a hop-by-hop header (RFC 9110, section 7.8): Squid removes it by
// default (http_upgrade_request_protocols), and tinyproxy has no support for it. RFC 6455, section
// 4.1, requires a tunnel, as for wss, and browsers and .NET ask for one. So do these functions, if
// the proxy comes from the environment.

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// proxyExceptHTTP returns the proxy from the environment, unless tunnelled handles it.
func proxyExceptHTTP(req *http.Request) (*url.URL, error) {
	proxy, err := proxyFromEnvironment(req)
	if err != nil || proxy == nil || req.URL.Scheme == "http" && needsTunnel(proxy) {
		return nil, err
	}
	return proxy, nil
}

// maxProxyAnswer is the maximum size in bytes of a proxy's response to CONNECT.
const maxProxyAnswer = 64 << 10

// needsTunnel reports whether a proxy speaks HTTP, so that it must be asked for a tunnel.
func needsTunnel(proxy *url.URL) bool { return proxy.Scheme == "http" || proxy.Scheme == "https" }

type tunnelKey struct{}

// throughTunnel records in ctx the proxy, if any, that a request for a ws URL goes through.
func throughTunnel(ctx context.Context, u *url.URL) context.Context {
	if u.Scheme != "http" {
		return ctx
	}
	proxy, err := proxyFromEnvironment(&http.Request{URL: u})
	if err != nil || proxy == nil || !needsTunnel(proxy) {
		return ctx
	}
	return context.WithValue(ctx, tunnelKey{}, proxy)
}

func tunnelled(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		proxy, ok := ctx.Value(tunnelKey{}).(*url.URL)
		if !ok {
			return dial(ctx, network, addr)
		}
		conn, err := dial(ctx, network, proxyAddr(proxy))
		if err != nil {
			return nil, err
		}
		if conn, err = tunnel(ctx, conn, proxy, addr); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		return conn, nil
	}
}

// tunnel asks the proxy at the other end of conn to connect to addr (RFC 9110, section 9.3.6).
func tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, addr string) (_ net.Conn, err error) {
	raw := conn
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			raw.Close()
		}
	}()
	if proxy.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: proxy.Hostname()})
	}
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: make(http.Header)}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	resp, err := http.ReadResponse(r, req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, refusedByProxy(ctx, proxy, req, resp)
	case r.Buffered() > 0:
		return nil, errors.New("unexpected data after the response to CONNECT")
	}
	return conn, nil
}

func proxyAddr(proxy *url.URL) string {
	if proxy.Port() != "" {
		return proxy.Host
	}
	return net.JoinHostPort(proxy.Hostname(), map[string]string{"http": "80", "https": "443"}[proxy.Scheme])
}
