package webhook_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestProvidersByPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Providers: map[string]*provider.Provider{
			"/a": provider.StandardWebhooks(secret),
			"/b": provider.GitHub("another secret"),
		}}
		conn := openHook(t, w)
		to := func(path, signer string) *http.Request {
			r := sign(t, w.Providers[signer], "msg_1", `{}`)
			r.URL.Path = path
			return r
		}
		for _, path := range []string{"/a", "/b"} { // an id is per provider
			a := post(w, to(path, path))
			m := take(t, conn, `{}`)
			if name := m.Delivery.Provider; name != w.Providers[path].Name {
				t.Errorf("%s: got provider %q, want %q", path, name, w.Providers[path].Name)
			}
			m.Settle(nil)
			wantStatus(t, a, 204)
		}
		wantStatus(t, post(w, to("/a", "/b")), 400) // the headers of another provider
		wantStatus(t, post(w, to("/c", "/a")), 404)
		wantStatus(t, post(w, to("/a/", "/a")), 404)
	})
}

func TestPublicURLIsConfigured(t *testing.T) {
	p := provider.GitHub("a secret")
	var seen []string
	p.Respond = func(r *provider.Request, d *provider.Delivery) *provider.Answer {
		seen = append(seen, r.URL)
		d.Events = nil
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		for _, w := range []*webhook.Receiver{
			{Provider: p},
			{Provider: p, URL: "https://public.example/in"},
			{Providers: map[string]*provider.Provider{"/hooks/p": p}, URL: "https://public.example"},
			{Providers: map[string]*provider.Provider{"/hooks/p": p}, URL: "https://public.example/"},
			{Providers: map[string]*provider.Provider{"/hooks/p é": p}, URL: "https://public.example"},
		} {
			openHook(t, w)
			r := sign(t, p, "1", `{}`)
			r.URL.Path = "/hooks/p"
			for path := range w.Providers {
				r.URL.Path = path
			}
			r.URL.RawQuery, r.Host, r.RequestURI = "x=1", "attacker.example", "/hooks/p?x=1"
			wantStatus(t, post(w, r), 204)
		}
	})
	want := []string{"/hooks/p?x=1", "https://public.example/in?x=1", "https://public.example/hooks/p?x=1", "https://public.example/hooks/p?x=1",
		"https://public.example/hooks/p%20%C3%A9?x=1"}
	if !slices.Equal(seen, want) {
		t.Errorf("the URLs are\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}
