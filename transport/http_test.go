package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		feed transport.HTTP
		want []string // field of each problem
	}{
		{"zero", transport.HTTP{}, []string{"HTTP.URL"}},
		{"fine", transport.HTTP{URL: "https://example.com", Method: "REPORT", TrustedOrigins: []string{"https://a.example:8443", "http://[::1]:80"}, HeaderTimeout: -1, IdleTimeout: -1, PingInterval: -1, MaxFrame: -1}, nil},
		{"relative", transport.HTTP{URL: "/feed"}, []string{"HTTP.URL"}},
		{"other scheme", transport.HTTP{URL: "ws://example.com"}, []string{"HTTP.URL"}},
		{"no host", transport.HTTP{URL: "http://:80/"}, []string{"HTTP.URL"}},
		{"control byte", transport.HTTP{URL: "http://a/\n"}, []string{"HTTP.URL"}},
		{"HEAD", transport.HTTP{URL: "http://a", Method: "HEAD"}, []string{"HTTP.Method"}},
		{"everything", transport.HTTP{
			URL: "example.com", Method: "GET IT", End: 9,
			Header:         http.Header{"X-A": {"a\r\nb"}},
			TrustedOrigins: []string{"https://a.example", "a.example", "https://a.example/path"},
		}, []string{"HTTP.URL", "HTTP.Method", "HTTP.Header", "HTTP.End", "HTTP.TrustedOrigins", "HTTP.TrustedOrigins"}},
		{"decoders", transport.HTTP{URL: "http://a", Decoders: map[string]func(io.Reader) (io.ReadCloser, error){
			"Zstd": inflate, "a b": inflate, "br": nil, "deflate": inflate,
		}}, []string{"HTTP.Decoders", "HTTP.Decoders", "HTTP.Decoders"}},
		{"name of a header", transport.HTTP{URL: "http://a", Header: http.Header{"a b": nil}}, []string{"HTTP.Header"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.feed.Validate()
			var fields []string
			if err != nil {
				for line := range strings.Lines(err.Error()) {
					field, _, _ := strings.Cut(line, ": ")
					fields = append(fields, field)
				}
			}
			if !slices.Equal(fields, tt.want) {
				t.Errorf("Validate: %v\nwant problems of %v", err, tt.want)
			}
			if err != nil {
				if _, oerr := tt.feed.Open(t.Context(), ""); retryable(oerr) != "false" {
					t.Errorf("Open: got %v, retryable %s, want false", oerr, retryable(oerr))
				}
			}
		})
	}
}

// The error for an invalid URL names the problem.
func TestValidateURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                       "missing",
		"wss://example.com/feed": "wss is the scheme of a WebSocket: use transport.WebSocket",
		"example.com/feed":       "no scheme: want https://host/path or http://host/path",
		"localhost:8080/feed":    "no scheme: want https://host/path or http://host/path",
		"//example.com/feed":     "no scheme: want https://host/path or http://host/path",
		"ftp://example.com":      "scheme is not http or https",
		"https:///feed":          "no host: want https://host/path",
		"http://a/%zz":           "not an absolute http or https URL",
	} {
		err := (&transport.HTTP{URL: url}).Validate()
		if err == nil || err.Error() != "HTTP.URL: "+want {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

func TestClientTimeoutDoesNotCutTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			feed(w, "1\n")
			time.Sleep(time.Minute)
			io.WriteString(w, "2\n")
		})
		client.Timeout = time.Second
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client}, "")
		defer conn.Close()
		for _, want := range []string{"1", "2"} {
			if m := read(t, conn); string(m.Data) != want {
				t.Errorf("Data: got %q, want %q", m.Data, want)
			}
		}
	})
}

// A Client without a Transport does not use http.DefaultTransport, which keeps idle connections.
func TestClientWithoutTransport(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { feed(w, "1\n") })
	jar := &testJar{}
	conn := open(t, &transport.HTTP{URL: srv.URL, Client: &http.Client{Jar: jar, Timeout: time.Nanosecond}}, "")
	read(t, conn)
	if !slices.Equal(jar.urls, []string{"get ", "set "}) {
		t.Errorf("got calls of the jar %q, want one get and one set", jar.urls)
	}
}

func TestOpenIsConcurrent(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		feed(w, r.Header.Get("Last-Event-Id")+"\n")
	})
	h := &transport.HTTP{URL: srv.URL, Header: http.Header{"X": {"y"}}, Format: decode.NDJSON}
	done := make(chan error)
	for i := range 8 {
		go func() {
			conn, err := h.Open(context.Background(), fmt.Sprint(i))
			if err != nil {
				done <- err
				return
			}
			defer conn.Close()
			m, err := readFrom(conn)
			if err == nil && !bytes.Equal(m.Data, fmt.Append(nil, i)) {
				err = fmt.Errorf("read %q, want %d", m.Data, i)
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
