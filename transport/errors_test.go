package transport_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// No error text contains a secret.
func TestErrorTextsKeepSecrets(t *testing.T) {
	const secret = "hunter2"
	status := http.StatusOK
	header := http.Header{}
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		io.WriteString(w, "<html>"+secret)
	})
	private := func(base string) *transport.HTTP {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("user", secret)
		u.Path, u.RawQuery = "/"+secret, "key="+secret
		return &transport.HTTP{URL: u.String(), Header: http.Header{"X-Api-Key": {secret}}, Body: []byte(secret)}
	}
	broken := httptest.NewServer(nil)
	broken.Close()

	tests := map[string]func() error{
		"status": func() error { status = 403; return openError(t, private(srv.URL), secret) },
		"html":   func() error { header.Set("Content-Type", "text/html"); return openError(t, private(srv.URL), secret) },
		"bad location": func() error {
			status = 302
			header.Set("Location", "http://"+secret+"/%zz"+secret)
			return openError(t, private(srv.URL), secret)
		},
		"bad header": func() error {
			header.Set("Set-Cookie", secret+"\x01")
			return openError(t, private(srv.URL), secret)
		},
		"location elsewhere": func() error {
			status = 302
			header.Set("Location", "gopher://"+secret+"/"+secret)
			return openError(t, private(srv.URL), secret)
		},
		"refused": func() error { return openError(t, private(broken.URL), secret) },
		"not TLS": func() error {
			return openError(t, private(strings.Replace(srv.URL, "http:", "https:", 1)), secret)
		},
		"prepare": func() error {
			h := private(srv.URL)
			h.Prepare = func(*http.Request) error {
				_, err := http.Get(broken.URL + "/" + secret + "?" + secret)
				return fmt.Errorf("token service: %w", err)
			}
			return openError(t, h, secret)
		},
		"round tripper": func() error {
			h := private(srv.URL)
			h.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: io.ErrUnexpectedEOF}
			})}
			return openError(t, h, secret)
		},
		"token":    func() error { return openError(t, private(srv.URL), secret+"\n") },
		"validate": func() error { return (&transport.HTTP{URL: "https://user:" + secret + "/x@host:y"}).Validate() },
		"origins": func() error {
			return (&transport.HTTP{URL: srv.URL, TrustedOrigins: []string{"https://" + secret + "@host"}}).Validate()
		},
		"header": func() error {
			return (&transport.HTTP{URL: srv.URL, Header: http.Header{"A": {secret + "\n"}}}).Validate()
		},
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			status, header = http.StatusOK, http.Header{}
			err := fail()
			if err == nil {
				t.Fatal("got no error, want one")
			}
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
				if strings.Contains(text, secret) || strings.Contains(text, "key=") {
					t.Errorf("got a text with a secret: %s", text)
				}
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A silent feed may be a quiet one, so the text names the option.
func TestTimeoutErrorNamesItsOption(t *testing.T) {
	for op, want := range map[string]string{
		"idle":    "transport: wss://feed.test: no data for 1m30s (IdleTimeout)",
		"message": "transport: wss://feed.test: no message for 1m30s (IdleTimeout)",
		"connect": "transport: wss://feed.test: OnConnect did not return within 1m30s (OnConnectTimeout)",
	} {
		if got := (&transport.TimeoutError{Op: op, Origin: "wss://feed.test", After: 90 * time.Second}).Error(); got != want {
			t.Errorf("%s: got %q, want %q", op, got, want)
		}
	}
}
