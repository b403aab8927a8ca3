package provider_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Keys are fetched from public addresses, whatever a name resolves to.
func TestKeysComeFromPublicAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"52.94.0.1:443": true, "[2600:1f00::1]:443": true, "127.0.0.1:443": false, "10.1.2.3:443": false, "192.168.0.1:443": false,
		"169.254.169.254:80": false, "[::1]:443": false, "[fe80::1]:443": false, "[fd00::1]:443": false, "[::ffff:127.0.0.1]:443": false,
		"0.0.0.0:443": false, "224.0.0.1:443": false, "": false,
	} {
		if err := provider.PublicOnly("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: got error %v, want success %t", address, err, ok)
		}
	}
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	if _, err := fetch(&provider.Fetcher{}, srv.URL); err == nil || !strings.Contains(err.Error(), "not public") {
		t.Errorf("a server on this host: got error %v, want one that its address is not public", err)
	}
}

func fetch(f *provider.Fetcher, url string) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, body, err := f.Do(req)
	if err != nil {
		return "", err
	}
	return http.StatusText(resp.StatusCode) + " " + string(body), nil
}

// A Fetcher is given servers of every kind. Its errors do not quote them.
func TestFetcher(t *testing.T) {
	var srv *httptest.Server
	srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/key":
			w.Write([]byte("a key"))
		case "/full":
			w.Write(make([]byte, 100))
		case "/large":
			w.Write(make([]byte, 101))
		case "/redirect":
			http.Redirect(w, r, srv.URL+"/key", http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("a"))
		default:
			http.Error(w, "secret", http.StatusTeapot)
		}
	}))
	defer srv.Close()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust it
	f := &provider.Fetcher{Client: srv.Client(), MaxSize: 100}
	untrusted := &provider.Fetcher{Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for _, c := range []struct {
		f         *provider.Fetcher
		url, want string // a part of the body or of the error
		ok        bool
	}{
		{f, srv.URL + "/key", "OK a key", true},
		{f, srv.URL + "/full", "OK \x00", true},
		{f, srv.URL + "/large?secret", "larger than 100 bytes", false},
		{f, srv.URL + "/redirect", "Found ", true},
		{f, srv.URL + "/cut?secret", "connection to the server failed", false},
		{f, srv.URL + "/teapot", "teapot secret", true}, // for the caller to judge
		{f, "http" + srv.URL[5:] + "/key?secret", "not https", false},
		{f, "https://secret@" + srv.URL[8:] + "/key", "has a user", false},
		{untrusted, srv.URL + "/key?secret", "not trusted", false},
	} {
		got, err := fetch(c.f, c.url)
		if err != nil {
			got = err.Error()
		}
		if (err == nil) != c.ok || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q and error %v, want %q, success %t", c.url, got, err, c.want, c.ok)
		}
		if err != nil && strings.Contains(got, "secret") {
			t.Errorf("%s: got error %q, want it without the URL and the response", c.url, got)
		}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Err: "secret", Name: "secret"}, "cannot be resolved"},
		{context.DeadlineExceeded, "did not answer in time"},
		{x509.UnknownAuthorityError{}, "failed"},
		{errors.New("secret"), "failed"},
	} {
		broken := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, c.err })}
		if _, err := fetch(&provider.Fetcher{Client: broken}, "https://example.com/?secret"); err == nil ||
			!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: got error %v, want %q", c.err, err, c.want)
		}
	}
}

// A server that does not answer is left after 5 s.
func TestFetcherTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		start := time.Now()
		if _, err := fetch(&provider.Fetcher{Client: stuck}, "https://example.com/"); err == nil {
			t.Error("got no error, want one")
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("got an error after %v, want 5s", d)
		}
	})
}
