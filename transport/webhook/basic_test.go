package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A sender that sends its name and password only when it is asked for them, such as libcurl
// with CURLAUTH_ANY (collectd, curl --anyauth), is asked (RFC 9110, section 11.6.1, and
// RFC 7617, section 2).
func TestAsksForBasic(t *testing.T) {
	const want = `Basic realm="webhook", charset="UTF-8"`
	basic := &provider.Provider{Name: "basic", Scheme: provider.Basic{}}
	if err := basic.SetSecrets("collectd:a password of some length"); err != nil {
		t.Fatal(err)
	}
	quiet := &provider.Provider{Name: "quiet", Scheme: provider.Basic{}, Answers: provider.Answers{Forged: provider.Answer{Status: 503}}}
	if err := quiet.SetSecrets("collectd:a password of some length"); err != nil {
		t.Fatal(err)
	}
	either := func(secrets ...string) *provider.Provider { // a login or a token
		p := provider.Alertmanager(secrets...)
		p.Answers = provider.Answers{}
		return p
	}
	for _, test := range []struct {
		p             *provider.Provider
		authorization string
		status        int
		challenge     string
	}{
		{basic, "", 401, want},
		{basic, "Bearer x", 401, want},
		{basic, "Basic bm9ib2R5OndpdGhvdXQ=", 401, want},
		{basic, "Basic !", 400, ""},
		{either("name:a password of some length"), "", 401, want},
		{either("name:a password of some length", "a token of some length"), "", 401, want},
		{either("name:a password of some length", "a token of some length"), "Bearer x", 401, want},
		{quiet, "", 503, ""},
		{provider.Alertmanager("name:a password of some length"), "", 503, ""},
		{newHook().Provider, "", 400, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &webhook.Receiver{Provider: test.p}
			openHook(t, w)
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`))
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			a := wantStatus(t, post(w, r), test.status)
			if got := a.Header.Get("WWW-Authenticate"); got != test.challenge {
				t.Errorf("%s, %q: WWW-Authenticate is %q, want %q", test.p.Name, test.authorization, got, test.challenge)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: basic}
		conn := openHook(t, w)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`))
		r.SetBasicAuth("collectd", "a password of some length")
		a := post(w, r)
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, a, http.StatusNoContent)
	})
}
