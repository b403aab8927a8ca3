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

// net/http asks a proxy for a ws URL as it does for an http one, and such a proxy may not
// let the upgrade through. RFC 6455, section 4.1, asks for a tunnel, as for wss.

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// proxyExceptHTTP is the proxy from the environment, unless tunnelled takes care of it.
func proxyExceptHTTP(req *http.Request) (*url.URL, error) {
	proxy, err := proxyFromEnvironment(req)
	if err != nil || proxy == nil || req.URL.Scheme == "http" && needsTunnel(proxy) {
		return nil, err
	}
	return proxy, nil
}

// maxProxyAnswer bounds what a proxy may say before it lets the handshake through.
const maxProxyAnswer = 64 << 10

// needsTunnel tells a proxy that speaks HTTP from one that tunnels whatever it is given.
func needsTunnel(proxy *url.URL) bool { return proxy.Scheme == "http" || proxy.Scheme == "https" }

type tunnelKey struct{}

// throughTunnel notes in ctx the proxy that a request for a ws URL goes through, if any.
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

// tunnel asks the proxy at the other end of conn to connect it with addr (RFC 9110,
// section 9.3.6).
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
		return nil, errors.New("it speaks before it was asked")
	}
	return conn, nil
}

func proxyAddr(proxy *url.URL) string {
	if proxy.Port() != "" {
		return proxy.Host
	}
	return net.JoinHostPort(proxy.Hostname(), map[string]string{"http": "80", "https": "443"}[proxy.Scheme])
}
