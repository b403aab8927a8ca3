package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	pathpkg "path"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A path of Providers can have wildcards, and one without takes precedence.
func TestWildcards(t *testing.T) {
	named := func(name string) *provider.Provider {
		return &provider.Provider{Name: name, Scheme: provider.Unsigned{}, ID: provider.Source{Wildcard: "tenant"}}
	}
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Providers: map[string]*provider.Provider{
			"/hooks/{tenant}/github": named("github"), "/hooks/{tenant}": named("any"), "/hooks/fixed": named("fixed"),
			"/slash/{tenant}/": named("slash"),
		}}
		conn := openHook(t, w)
		for path, want := range map[string]string{
			"/hooks/acme/github": "github acme", "/hooks/acme": "any acme", "/hooks/fixed": "fixed ", "/hooks/a%2Fb": "any a/b",
			"/hooks/%7Btenant%7D": "any {tenant}", "/slash/x/": "slash x", "/hooks/fixed/github": "github fixed",
			"/hooks/": "", "/hooks//github": "", "/hooks/a/gitlab": "", "/hooks/a/github/": "", "/slash/x": "", "/slash//": "", "/": "",
			"/hooks/a/b/github": "",
		} {
			a := post(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}")))
			if want == "" {
				wantStatus(t, a, 404)
				continue
			}
			m := read(t, conn)
			m.Settle(nil)
			wantStatus(t, a, 204)
			if got := m.Delivery.Provider + " " + m.ID; got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	})
}

// The URL of a sender that signs it has the values of the wildcards.
func TestWildcardsInSignedURL(t *testing.T) {
	for _, w := range []*webhook.Receiver{
		{Providers: map[string]*provider.Provider{"/in/{tenant}": provider.Square("a secret")}, URL: "https://example.com/base/"},
		{Provider: provider.Square("a secret"), URL: "https://example.com/base/in/{tenant}"},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn := openHook(t, w)
			mux := http.NewServeMux()
			mux.Handle("/in/{tenant}", w)
			for path, want := range map[string]int{"/in/acme": 204, "/in/a%20b": 204, "/in/other": 401} {
				signed := path
				if want != 204 {
					signed = "/in/acme"
				}
				d := provider.Request{Method: "POST", URL: "https://example.com/base" + signed, Body: []byte(`{"event_id":"` + path + `"}`)}
				if err := provider.Square("a secret").Sign(&d, ""); err != nil {
					t.Fatal(err)
				}
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(d.Body)))
				r.Header = d.Header
				done := make(chan int, 1)
				go func() {
					rec := httptest.NewRecorder()
					mux.ServeHTTP(rec, r)
					done <- rec.Code
				}()
				if want == 204 {
					read(t, conn).Settle(nil)
				}
				if got := <-done; got != want {
					t.Errorf("%s: got %d, want %d", path, got, want)
				}
			}
		})
	}
}

// FuzzPattern compares paths with what an http.ServeMux matches.
func FuzzPattern(f *testing.F) {
	for _, path := range []string{"/a/b/c", "/a/%2F/c", "/a//c", "/a/b", "/a/b/c/", "/a/{x}/c", "/%61/b/c"} {
		f.Add(path)
	}
	mux := http.NewServeMux()
	var value string
	mux.HandleFunc("/a/{x}/c", func(_ http.ResponseWriter, r *http.Request) { value = r.PathValue("x") })
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(path, "/") {
			return
		}
		if clean := pathpkg.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
			return // a ServeMux redirects to the clean path
		}
		value = ""
		mux.ServeHTTP(httptest.NewRecorder(), &http.Request{Method: "POST", URL: u, Host: "h", RequestURI: path})
		got, ok := webhook.MatchPattern("/a/{x}/c", &http.Request{URL: u})
		if ok != (value != "") || got != value {
			t.Errorf("%q: got %v, %q, want %q", path, ok, got, value)
		}
	})
}
