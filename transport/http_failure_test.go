package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
)

// openers open a feed of either kind at https or wss, or without TLS at http or ws.
var openers = map[string]func(ctx context.Context, host string, secure bool, client *http.Client) error{
	"HTTP": func(ctx context.Context, host string, secure bool, client *http.Client) error {
		scheme := map[bool]string{true: "https://", false: "http://"}[secure]
		_, err := (&transport.HTTP{URL: scheme + host + "/secret", Client: client}).Open(ctx, "")
		return err
	},
	"WebSocket": func(ctx context.Context, host string, secure bool, client *http.Client) error {
		scheme := map[bool]string{true: "wss://", false: "ws://"}[secure]
		_, err := (&transport.WebSocket{URL: scheme + host + "/secret", Client: client}).Open(ctx, "")
		return err
	},
}

// A failure of TLS has the same class for both kinds of feeds, and is no network failure.
func TestTLSFailures(t *testing.T) {
	own := httptest.NewTLSServer(nil)
	defer own.Close()
	strangers := tls.Certificate{Certificate: own.TLS.Certificates[0].Certificate, PrivateKey: own.TLS.Certificates[0].PrivateKey}
	for name, tt := range map[string]struct {
		server      *tls.Config // nil: no TLS
		client      *tls.Config
		class, text string
	}{
		"certificate required": {
			server: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert},
			class:  "protocol", text: "client certificate",
		},
		"certificate required, TLS 1.2": {
			server: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: tls.VersionTLS12},
			class:  "protocol", text: "handshake failure", // no more detail

		},
		"unknown authority of the client": {
			server: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()},
			client: &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &strangers, nil }},
			class:  "protocol", text: "client certificate",
		},
		"protocol version": {
			server: &tls.Config{MinVersion: tls.VersionTLS13}, client: &tls.Config{MaxVersion: tls.VersionTLS12},
			class: "protocol", text: "protocol version",
		},
		"the client's own check": {
			server: &tls.Config{}, client: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return errors.New("not pinned") }},
			class: "protocol", text: "TLS handshake failed: not pinned",
		},
		"unknown authority of the server": {
			server: &tls.Config{}, client: &tls.Config{RootCAs: x509.NewCertPool()},
			class: "permanent", text: "unknown authority",
		},
		"no TLS": {class: "protocol", text: "does not speak TLS"},
	} {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		if tt.server != nil {
			srv.TLS = tt.server
			srv.StartTLS()
		} else {
			srv.Start()
		}
		defer srv.Close()
		if tt.client == nil {
			tt.client = &tls.Config{}
		}
		if tt.client.RootCAs == nil && tt.server != nil {
			tt.client.RootCAs = srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		}
		for kind, open := range openers {
			t.Run(name+" "+kind, func(t *testing.T) {
				tr := &http.Transport{TLSClientConfig: tt.client}
				defer tr.CloseIdleConnections()
				// The alert and the end of the connection race in TLS 1.3.
				var err error
				for range 20 {
					if err = open(t.Context(), srv.Listener.Addr().String(), true, &http.Client{Transport: tr}); class(err) != "network" {
						break
					}
				}
				if class(err) != tt.class || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v of class %s, want %s and %q", err, class(err), tt.class, tt.text)
				}
			})
		}
	}
}

// A response that is not HTTP is no network failure.
func TestResponseIsNotHTTP(t *testing.T) {
	for name, answer := range map[string]string{
		"TLS alert":       "\x15\x03\x01\x00\x02\x02\x16",
		"HTTP/2 settings": "\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"SSH":             "SSH-2.0-OpenSSH_9.6\r\n",
		"bad header":      "HTTP/1.1 200 OK\r\nsecret\r\n\r\n",
	} {
		for kind, open := range openers {
			t.Run(name+" "+kind, func(t *testing.T) {
				host := replying(t, answer)
				err := open(t.Context(), host, false, nil)
				if class(err) != "protocol" || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v of class %s, want protocol and no secret", err, class(err))
				}
			})
		}
	}
	for kind, open := range openers {
		for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Type: te"} {
			if err := open(t.Context(), replying(t, answer), false, nil); class(err) != "network" {
				t.Errorf("%s: cut after %q: got %v of class %s, want network", kind, answer, err, class(err))
			}
		}
	}
}

// replying listens for connections, reads a request from each, gives the answer and closes.
func replying(t *testing.T, answer string) (host string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

const refusingProxyChild = "STEADFEED_TEST_REFUSING_PROXY"

// A proxy's refusal is a status like any other, whatever the scheme of the feed, and names the
// proxy. net/http reads the proxy from the environment once, so the client runs in another
// process.
func TestProxyRefuses(t *testing.T) {
	if host := os.Getenv(refusingProxyChild); host != "" {
		refusedThroughProxy(t, host)
		return
	}
	for status, want := range map[string]string{
		"407 Proxy Authentication Required": "permanent", "403 Forbidden": "permanent", "502 Bad Gateway": "server", "429 Too Many Requests": "rate limited",
	} {
		host := replying(t, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		for kind, open := range openers { // an http.Transport of the caller
			proxy, _ := url.Parse("http://user:secret@" + host)
			tr := &http.Transport{Proxy: http.ProxyURL(proxy)}
			if err := open(t.Context(), "feed.test", true, &http.Client{Transport: tr}); class(err) != "protocol" || !strings.Contains(err.Error(), "proxy http://"+host+": ") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: got %v of class %s, want protocol and the proxy named", kind, err, class(err))
			}
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestProxyRefuses$")
		proxy := "http://user:secret@" + host
		cmd.Env = append(os.Environ(), refusingProxyChild+"="+host, "WANT_CLASS="+want, "WANT_STATUS="+status,
			"HTTP_PROXY="+proxy, "HTTPS_PROXY="+proxy, "NO_PROXY=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", status, err, out)
		}
	}
}

func refusedThroughProxy(t *testing.T, host string) {
	status := os.Getenv("WANT_STATUS")
	for kind, open := range openers {
		for _, secure := range []bool{true, false} {
			err := open(t.Context(), "feed.test", secure, nil)
			if got := class(err); got != os.Getenv("WANT_CLASS") {
				t.Errorf("%s, secure %t: got %v of class %s, want %s", kind, secure, err, got, os.Getenv("WANT_CLASS"))
			}
			// A feed without TLS gets the proxy's answer like one of the server.
			named := fmt.Sprintf("transport: proxy http://%s: status %s", host, status)
			if direct := kind == "HTTP" && !secure && !strings.HasPrefix(status, "407"); !direct && err.Error() != named {
				t.Errorf("%s, secure %t: got %v, want %s", kind, secure, err, named)
			}
		}
	}
}

// The errors of a WebSocket name its scheme.
func TestWebSocketOrigin(t *testing.T) {
	srv := serve(t, http.NotFound)
	host := srv.Listener.Addr().String()
	want := "ws://" + host
	for _, scheme := range []string{"ws://", "http://"} {
		err := openSocketError(t, &transport.WebSocket{URL: scheme + host}, "")
		var e *transport.StatusError
		if !errors.As(err, &e) || e.Origin != want || !strings.Contains(err.Error(), want+": ") {
			t.Errorf("%s: got %v, want the origin %s", scheme, err, want)
		}
	}
	srv.Close()
	if err := openSocketError(t, &transport.WebSocket{URL: want}, ""); !strings.Contains(err.Error(), want+": ") {
		t.Errorf("refused: got %v, want the origin %s", err, want)
	}
}

// A request that fails after the proxy has connected was not refused by the proxy.
func TestFailureThroughProxy(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer peer.Close()
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(peer, buffered)
			peer.Close()
		}()
		io.Copy(conn, peer)
	}))
	defer proxy.Close()
	u, _ := url.Parse(proxy.URL)
	tr := srv.Client().Transport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyURL(u)
	defer tr.CloseIdleConnections()
	err := openError(t, &transport.HTTP{URL: "https://example.com", Client: &http.Client{Transport: tr}}, "")
	if class(err) != "network" || strings.Contains(err.Error(), "proxy") {
		t.Errorf("got %v of class %s, want network and no proxy named", err, class(err))
	}
}
