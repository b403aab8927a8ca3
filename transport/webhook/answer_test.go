package webhook_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestAnswersOfTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		p := w.Provider
		p.Answers = provider.Answers{
			Accepted:  provider.Answer{Status: 202, Body: []byte("[accepted]")},
			Duplicate: provider.Answer{Status: 208},
			Late:      provider.Answer{Status: 504},
			Busy:      provider.Answer{Status: 429},
			Forged:    provider.Answer{Status: 403},
			Malformed: provider.Answer{Status: 422},
		}
		wantStatus(t, post(w, sign(t, p, "msg_0", `{}`)), 429)
		conn := openHook(t, w)

		a := post(w, sign(t, p, "msg_1", `{}`))
		take(t, conn, `{}`).Settle(nil)
		if body, _ := io.ReadAll(wantStatus(t, a, 202).Body); string(body) != "[accepted]" {
			t.Errorf("got body %q, want [accepted]", body)
		}
		wantStatus(t, post(w, sign(t, p, "msg_1", `{}`)), 208)

		a = post(w, sign(t, p, "msg_2", `{}`))
		take(t, conn, `{}`)
		wantStatus(t, a, 504)

		a = post(w, sign(t, p, "msg_3", `{}`))
		take(t, conn, `{}`).Settle(errors.New("no"))
		if r := wantStatus(t, a, 429); r.Header.Get("Retry-After") == "" {
			t.Error("429: got no Retry-After, want one")
		}
		forged := sign(t, p, "msg_4", `{}`)
		forged.Body = io.NopCloser(strings.NewReader(`[]`))
		wantStatus(t, post(w, forged), 403)
		malformed := sign(t, p, "msg_5", `{}`)
		malformed.Header.Del("Webhook-Signature")
		wantStatus(t, post(w, malformed), 422)
	})
}

func TestRetryAfterIsJittered(t *testing.T) {
	w := newHook()
	seen := make(map[string]bool)
	for range 100 {
		seen[wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 503).Header.Get("Retry-After")] = true
	}
	if len(seen) < 5 {
		t.Errorf("Retry-After: got only the values %v, want at least 5", seen)
	}
}

// Some senders send name and password only after a 401 that asks for them, such as libcurl with
// CURLAUTH_ANY (collectd, curl --anyauth). See RFC 9110, section 11.6.1, and RFC 7617, section 2.
func TestWWWAuthenticate(t *testing.T) {
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

// A sender of CloudEvents distinguishes an event that is handled from one that is queued.
func TestQueuedAnswer(t *testing.T) {
	for ack, status := range map[webhook.AckMode]int{webhook.AckAfterHandling: 204, webhook.AckOnEnqueue: 202} {
		synctest.Test(t, func(t *testing.T) {
			w := &webhook.Receiver{Provider: provider.CloudEvents(nil, "a secret"), Ack: ack}
			conn := openHook(t, w)
			a := post(w, sign(t, w.Provider, "", `{}`))
			if m := read(t, conn); m.Settle != nil {
				m.Settle(nil)
			}
			wantStatus(t, a, status)
		})
	}
}

// An answer that shares memory with the body is not overwritten by another request.
func TestAnswerFromTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		w.Provider.Respond = func(_ *provider.Request, d *provider.Delivery) *provider.Answer {
			return &provider.Answer{Body: d.Events[0].Data}
		}
		a := post(w, sign(t, w.Provider, "msg_1", `{"n":1}`))
		take(t, conn, `{"n":1}`).Settle(nil)
		wantStatus(t, a, 200)

		// Another body arrives while the duplicate is answered.
		rec := &interrupted{ResponseRecorder: httptest.NewRecorder()}
		rec.interrupt = func() {
			forged := sign(t, w.Provider, "msg_2", `{"n":1}`)
			forged.Body = io.NopCloser(strings.NewReader(`#######`))
			wantStatus(t, post(w, forged), 401)
		}
		w.ServeHTTP(rec, sign(t, w.Provider, "msg_1", `{"n":1}`))
		if got := rec.Body.String(); got != `{"n":1}` {
			t.Errorf("got answer %q, want {\"n\":1}", got)
		}
	})
}

// The error for a request that matches no provider does not show its address, which may be secret.
func TestUnknownPath(t *testing.T) {
	w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/in": newHook().Provider}}
	var rejected *webhook.RejectedError
	w.OnRejected = func(e *webhook.RejectedError) { rejected = e }
	openHook(t, w)
	a := wantStatus(t, post(w, httptest.NewRequest(http.MethodPost, "/in/marker?code=marker", nil)), 404)
	if body, _ := io.ReadAll(a.Body); len(body) > 0 {
		t.Errorf("got body %q of the answer, want none", body)
	}
	if rejected == nil || rejected.Status != 404 || rejected.Provider != "" || strings.Contains(rejected.Error(), "marker") {
		t.Fatalf("OnRejected: got %v, want status 404, no provider and no secret", rejected)
	}
	const want = `webhook: request answered with 404 Not Found: no provider for its path: Providers has ["/in"]`
	if got := rejected.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnknownPathError(t *testing.T) {
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	many := make(map[string]*provider.Provider)
	for i := range 10 {
		many[fmt.Sprint("/p", i)] = provider.StandardWebhooks(key)
	}
	hooks := map[string]*provider.Provider{"/hooks/github": newHook().Provider, "/hooks/stripe": newHook().Provider}
	for _, test := range []struct {
		providers  map[string]*provider.Provider
		path, want string
	}{
		{hooks, "/github", `it is the end of "/hooks/github": a handler or proxy removed the start, as http.StripPrefix does: remove it from the key in Providers too`},
		{hooks, "/api/hooks/stripe", `it has a prefix before "/hooks/stripe": add the prefix to the key in Providers, or use http.StripPrefix`},
		{hooks, "/hooks/github/", `it differs from "/hooks/github" by a trailing slash`},
		{hooks, "/marker", `Providers has ["/hooks/github" "/hooks/stripe"]`},
		{hooks, "/", `Providers has ["/hooks/github" "/hooks/stripe"]`},
		{many, "/marker", `Providers has ["/p0" "/p1" "/p2" "/p3" "/p4" "/p5" "/p6" "/p7"] and 2 more`},
	} {
		w := &webhook.Receiver{Providers: test.providers}
		var got string
		w.OnRejected = func(e *webhook.RejectedError) { got = e.Error() }
		wantStatus(t, post(w, httptest.NewRequest(http.MethodPost, test.path+"?code=marker", nil)), 404)
		if want := "webhook: request answered with 404 Not Found: no provider for its path: " + test.want; got != want {
			t.Errorf("%s: %s\nwant %s", test.path, got, want)
		}
	}
}

// Over HTTP/2, a client may drop the answer to a request whose short body the server leaves.
func TestUnreadBodyOfHTTP2(t *testing.T) {
	for size, want := range map[int]int{100: 0, 64 << 10: 0, 64<<10 + 1: 64<<10 + 1} {
		for proto, left := range map[int]int{1: size, 2: want} {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: provider.GitHub("a secret")}
				openHook(t, w)
				body := strings.NewReader(strings.Repeat("x", size))
				r := httptest.NewRequest(http.MethodPost, "/", body)
				r.ProtoMajor = proto
				wantStatus(t, post(w, r), 400)
				if body.Len() != left {
					t.Errorf("HTTP/%d, %d bytes: %d are left, want %d", proto, size, body.Len(), left)
				}
			})
		}
	}
}
