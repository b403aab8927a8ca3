package jwt_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// keyOf returns the outcome of looking for a key.
func keyOf(t *testing.T, k *jwt.KeySet, id string) string {
	t.Helper()
	key, err := k.Key(&provider.Request{}, id)
	switch {
	case busy(err):
		return "busy"
	case err != nil:
		return err.Error()
	case key == nil:
		return "none"
	}
	return "found"
}

// A set is fetched once, and again when it is old or lacks a key.
func TestKeySetIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := issuer()
		k := &jwt.KeySet{URL: setURL, Client: w.client()}
		want := func(what, id, outcome string, fetched int) {
			t.Helper()
			if got := keyOf(t, k, id); got != outcome || w.count() != fetched {
				t.Errorf("%s: got %s after %d fetches, want %s after %d", what, got, w.count(), outcome, fetched)
			}
		}
		want("first", "r", "found", 1)
		want("cached", "e", "found", 1)
		want("unknown, at once", "new", "busy", 1)
		time.Sleep(30 * time.Second)
		want("unknown", "new", "none", 2)
		want("unknown, at once", "new", "busy", 2)
		w.set(func() { w.pages[setURL] = jwks(jwk("new", "", "sig", &otherKey().PublicKey)) })
		want("rotated, at once", "new", "busy", 2)
		time.Sleep(30 * time.Second)
		want("rotated", "new", "found", 3)
		want("the old key", "r", "busy", 3)
		want("the only key, without an id", "", "found", 3)
		time.Sleep(30 * time.Second)
		want("the old key", "r", "none", 4)
		time.Sleep(time.Hour)
		want("after an hour", "new", "found", 5)
		w.set(func() { w.err = errors.New("down") })
		time.Sleep(time.Hour)
		want("down", "new", "found", 6)
		want("down, unknown", "newer", "busy", 6)
		time.Sleep(30 * time.Second)
		want("still down, unknown", "newer", "busy", 7)
		time.Sleep(25 * time.Hour)
		want("down for a day", "new", "busy", 8)
		w.set(func() { w.err = nil })
		want("up, at once", "new", "busy", 8)
		time.Sleep(30 * time.Second)
		want("up", "new", "found", 9)
	})
}

// The max-age of the response counts, within limits.
func TestKeySetMaxAge(t *testing.T) {
	for value, age := range map[string]time.Duration{
		"": time.Hour, "no-store": time.Hour, "max-age=x": time.Hour, "max-age=-1": time.Hour, "max-age=99999999999999": time.Hour,
		"public, max-age=600": 10 * time.Minute, "Max-Age=600,must-revalidate": 10 * time.Minute,
		"max-age=0": 5 * time.Minute, "max-age=299": 5 * time.Minute, "max-age=999999": 24 * time.Hour, "s-maxage=600": time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := issuer()
			w.header = http.Header{"Cache-Control": {value}}
			k := &jwt.KeySet{URL: setURL, Client: w.client()}
			keyOf(t, k, "r")
			time.Sleep(age - time.Second)
			if keyOf(t, k, "r"); w.count() != 1 {
				t.Errorf("%q: got a fetch within %v, want none", value, age)
			}
			time.Sleep(2 * time.Second)
			if keyOf(t, k, "r"); w.count() != 2 {
				t.Errorf("%q: got %d fetches after %v, want 2", value, w.count(), age)
			}
		})
	}
}

// The URL may be that of OpenID provider metadata.
func TestKeySetMetadata(t *testing.T) {
	const metadata = "https://issuer.example/.well-known/openid-configuration"
	for _, c := range []struct{ name, page, want string }{
		{"metadata", `{"issuer":"https://issuer.example","jwks_uri":"` + setURL + `"}`, "found"},
		{"no https", `{"jwks_uri":"http` + setURL[5:] + `"}`, "busy"},
		{"a loop", `{"jwks_uri":"` + metadata + `"}`, "busy"},
		{"an empty set", `{"keys":[],"jwks_uri":"` + setURL + `"}`, "busy"},
		{"neither", `{}`, "busy"},
		{"not JSON", `<html>`, "busy"},
		{"two sets", `{"keys":[],"keys":[]}`, "busy"},
		{"only keys for encryption", jwks(jwk("r", "", "enc", &rsaKey().PublicKey)), "busy"},
		{"too many keys", `{"keys":[` + strings.Repeat("{},", 256) + string(jwk("r", "", "", &rsaKey().PublicKey)) + `]}`, "busy"},
		{"too large", jwks(jwk("r", "", "", &rsaKey().PublicKey)) + strings.Repeat(" ", 512<<10), "busy"},
		{"a redirect", setURL, "busy"},
	} {
		w := issuer()
		w.pages[metadata] = c.page
		if got := keyOf(t, &jwt.KeySet{URL: metadata, Client: w.client()}, "r"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if n := w.count(); n > 2 {
			t.Errorf("%s: got %d fetches, want at most 2", c.name, n)
		}
	}
	for _, status := range []int{204, 401, 404, 500, 503} {
		w := issuer()
		w.status = status
		if got := keyOf(t, &jwt.KeySet{URL: setURL, Client: w.client()}, "r"); got != "busy" {
			t.Errorf("status %d: got %s, want busy", status, got)
		}
	}
}

// A flood of forged tokens with made-up keys causes one fetch in 30 s, and real tokens are
// accepted meanwhile, also while the server is slow.
func TestKeySetInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := issuer()
		w.takes = 4 * time.Second
		p := provide(scheme(w))
		text := token("RS256", rsaKey(), kid("r"), good())
		if err := receive(p, request(text)); err != nil {
			t.Fatal(err)
		}
		evil := token("RS256", otherKey(), kid("evil"), good())
		for range 10 {
			time.Sleep(30 * time.Second)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if err := receive(p, request(evil)); !forged(err) && !busy(err) {
						t.Errorf("got error %v, want Forged or Busy", err)
					}
				})
			}
			synctest.Wait()
			start := time.Now()
			if err := receive(p, request(text)); err != nil || time.Since(start) != 0 {
				t.Errorf("a real token: got error %v after %v, want none at once", err, time.Since(start))
			}
			wg.Wait()
		}
		if n := w.count(); n != 11 {
			t.Errorf("got %d fetches, want 11", n)
		}
	})
}

// A request does not wait beyond its deadline for a stuck server.
func TestKeySetDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := issuer()
		w.takes = time.Hour
		p := provide(scheme(w))
		text := token("RS256", rsaKey(), kid("r"), good())
		go receive(p, request(text))
		synctest.Wait()
		for _, limit := range []func(*provider.Request) context.CancelFunc{
			func(r *provider.Request) context.CancelFunc {
				r.Deadline = time.Now().Add(time.Second)
				return func() {}
			},
			func(r *provider.Request) (cancel context.CancelFunc) {
				r.Context, cancel = context.WithTimeout(context.Background(), time.Second)
				return cancel
			},
		} {
			r := request(text)
			cancel := limit(r)
			start := time.Now()
			if err := receive(p, r); !busy(err) || time.Since(start) != time.Second {
				t.Errorf("got error %v after %v, want Busy after 1s", err, time.Since(start))
			}
			cancel()
		}
		time.Sleep(5 * time.Second)
	})
}

// The whole way: a sender whose key server is down gets a 503 and delivers later, a forger a 401,
// and neither the token nor the reason reaches the answer or the event.
func TestReceiver(t *testing.T) {
	down := true
	var mu sync.Mutex
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Write([]byte(jwks(jwk("r", "", "", &rsaKey().PublicKey))))
	}))
	defer keys.Close()
	newHook := func() *webhook.Receiver {
		s := scheme(issuer())
		s.Keys = &jwt.KeySet{URL: keys.URL, Client: keys.Client()}
		return &webhook.Receiver{Provider: provide(s)}
	}
	post := func(hook *webhook.Receiver, text string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("POST", "/hook", strings.NewReader(`{"a":1}`))
		req.Header.Set("Authorization", "Bearer "+text)
		rw := httptest.NewRecorder()
		hook.ServeHTTP(rw, req)
		return rw
	}
	live := good().with("iat", time.Now().Unix()).with("exp", time.Now().Unix()+300)
	text := token("RS256", rsaKey(), kid("r"), live)
	for _, c := range []struct {
		down   bool
		token  string
		status int
	}{{true, text, 503}, {false, token("RS256", otherKey(), kid("r"), live), 401}, {false, "x", 400}, {false, text, 204}} {
		mu.Lock()
		down = c.down
		mu.Unlock()
		hook := newHook()
		var reason string
		hook.OnRejected = func(e *webhook.RejectedError) { reason = e.Error() }
		sub, err := client.Subscribe(t.Context(), hook, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ev := range sub.Events() {
				if h := ev.Delivery.Header.Get("Authorization"); h != "" {
					t.Errorf("got the header %q in an event, want none", h)
				}
			}
		}()
		rw := post(hook, c.token)
		if rw.Code != c.status || rw.Body.Len() > 64 {
			t.Errorf("got status %d and %q, want %d", rw.Code, rw.Body, c.status)
		}
		if (reason == "") != (c.status == 204) || strings.Contains(reason, c.token) && len(c.token) > 1 {
			t.Errorf("status %d: got the reason %q, want one without the token", rw.Code, reason)
		}
		sub.Close()
		<-done
	}
}

// Subscribe reports every mistake, and no secret.
func TestValidate(t *testing.T) {
	change := func(f func(*jwt.Scheme)) *provider.Provider {
		s := scheme(issuer())
		f(&s)
		return provide(s)
	}
	secret := strings.Repeat("hush", 8)
	for _, c := range []struct {
		p    *provider.Provider
		want string
	}{
		{change(func(*jwt.Scheme) {}), ""},
		{provide(jwt.Scheme{}), "Scheme.Algorithms is empty\nScheme.Keys is nil"},
		{change(func(s *jwt.Scheme) { s.Query = "q" }), "Scheme.Prefix needs Header"},
		{change(func(s *jwt.Scheme) { s.Query, s.Header = "q", "H" }), "Scheme.Header, Query and Path: set only one"},
		{change(func(s *jwt.Scheme) { s.MaxAge = -1 }), "Scheme.MaxAge is negative"},
		{change(func(s *jwt.Scheme) { s.Algorithms = []string{"none"} }), `Scheme.Algorithms: "none" is not a signature algorithm of RFC 7518 or RFC 8037`},
		{change(func(s *jwt.Scheme) { s.Algorithms = []string{"RS256", "HS256"} }), "Scheme.Algorithms mixes HMACs with public-key algorithms"},
		{change(func(s *jwt.Scheme) { s.Algorithms = []string{"HS256"} }), "Scheme.Keys is for public-key algorithms; the secrets are the keys of an HMAC"},
		{provide(jwt.Scheme{Algorithms: []string{"HS256"}}), "no secret: use SetSecrets"},
		{change(func(s *jwt.Scheme) { s.Audiences = nil }), "Scheme.Audiences is empty: any token of the issuer would be accepted"},
		{change(func(s *jwt.Scheme) { s.Issuers = nil }), "Scheme.Issuers is empty: a key may be that of several issuers"},
		{change(func(s *jwt.Scheme) { s.Issuers, s.Audiences, s.BodyHash = nil, nil, "h" }), ""},
		{change(func(s *jwt.Scheme) { s.Issuers, s.Audiences = []string{""}, []string{"a", ""} }), "Scheme.Issuers has an empty value\nScheme.Audiences has an empty value"},
		{change(func(s *jwt.Scheme) { s.Claims = map[string][]string{"b": {""}, "a": nil} }), "Scheme.Claims[\"a\"] is empty, or has an empty value\nScheme.Claims[\"b\"] is empty, or has an empty value"},
		{change(func(s *jwt.Scheme) { s.Keys = &jwt.KeySet{URL: "http://a/"} }), "Scheme.Keys: KeySet.URL must be an https URL without a user"},
		{change(func(s *jwt.Scheme) { s.Keys = &jwt.KeySet{URL: "https://u:p@a/"} }), "Scheme.Keys: KeySet.URL must be an https URL without a user"},
		{change(func(s *jwt.Scheme) { s.Keys = (*jwt.KeySet)(nil) }), "Scheme.Keys: KeySet is nil"},
		{change(func(*jwt.Scheme) {}).WithSecrets(secret), "secret 0 is not a key in PEM"},
		{change(func(*jwt.Scheme) {}).WithSecrets("-----BEGIN HUSH-----\nAAAA\n-----END HUSH-----"), "secret 0 is neither a public key (SPKI) nor a private key (PKCS #8)"},
		{change(func(*jwt.Scheme) {}).WithSecrets(publicPEM(&rsaKey().PublicKey), privatePEM(ecKey())), ""},
		{jwt.Vonage(), "no secret: use SetSecrets"},
		{jwt.Vonage("abc"), "secret 0 is shorter than 4 bytes"},
		{jwt.Vonage("short"), ""},
		{jwt.GooglePubSub("", ""), "Scheme.Audiences has an empty value\nScheme.Claims[\"email\"] is empty, or has an empty value"},
		{jwt.GoogleChat(""), "Scheme.Audiences has an empty value"},
		{jwt.BotFramework(), "Scheme.Audiences is empty: any token of the issuer would be accepted"},
		{jwt.AzureEventGrid("", "a"), "Scheme.Issuers has an empty value"},
		{jwt.AzureEventGrid("evil/../", "a"), "Scheme.Issuers has an empty value"},
		{jwt.MicrosoftGraph([]string{"a"}, nil, "state"), "Scheme.Issuers is empty: a key may be that of several issuers"},
		{jwt.MicrosoftGraph([]string{"a"}, []string{"t"}), "no secret: use SetSecrets with the clientState of the subscriptions"},
		{jwt.Plaid(nil), "Scheme.Keys: PlaidKeys is nil"},
		{jwt.Plaid(&jwt.PlaidKeys{}), "Scheme.Keys: PlaidKeys.ClientID and PlaidKeys.Secret are required"},
		{jwt.Plaid(&jwt.PlaidKeys{ClientID: "c", Secret: secret, URL: "http://a"}), "Scheme.Keys: PlaidKeys.URL must be an https URL without a user"},
		{jwt.AppStoreNotifications(jwt.AppStore{}), "AppStore.BundleID is empty\nAppStore.AppAppleID is required unless Sandbox is set"},
		{jwt.AppStoreNotifications(jwt.AppStore{BundleID: "a", Sandbox: true}), ""},
		{jwt.AppStoreNotifications(jwt.AppStore{BundleID: "a", Sandbox: true}).WithSecrets(secret), "AppStore takes no secrets: set Roots to trust another authority"},
	} {
		want := c.want
		if want != "" {
			prefix := "provider: " + c.p.Name + ": "
			want = prefix + strings.ReplaceAll(want, "\n", "\n"+prefix)
		}
		err := c.p.Validate()
		if got := errors.Join(err); (got == nil) != (want == "") || got != nil && got.Error() != want {
			t.Errorf("got error:\n%v\nwant:\n%s", err, want)
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "hush") {
			t.Errorf("got error %v, want it without the secret", err)
		}
		if _, e := client.Subscribe(t.Context(), &webhook.Receiver{Provider: c.p, URL: "https://example.com/"}, nil); (e == nil) != (want == "") {
			t.Errorf("Subscribe: got error %v, want that of Validate", e)
		}
	}
}
