package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Signatures as large as a header can be are refused before the body is read, and allocate little.
func TestHugeSignaturesAreRefused(t *testing.T) {
	const size = 1 << 20
	mac := strings.Repeat("0", 64)
	tests := map[string]struct {
		provider *provider.Provider
		name     string
		values   []string
	}{
		"long":                   {provider.GitHub("a secret"), "X-Hub-Signature-256", []string{"sha256=" + strings.Repeat("0", size)}},
		"in Base64":              {provider.Shopify("a secret"), "X-Shopify-Hmac-Sha256", []string{strings.Repeat("AAAA", size/4)}},
		"many signatures":        {provider.Stripe("whsec_a secret"), "Stripe-Signature", []string{"t=1" + strings.Repeat(",v1="+mac, size/68)}},
		"many of another kind":   {provider.Stripe("whsec_a secret"), "Stripe-Signature", []string{strings.Repeat("v9=,", size/4)}},
		"many times":             {provider.Stripe("whsec_a secret"), "Stripe-Signature", []string{strings.Repeat("t=,", size/3)}},
		"nothing but separators": {provider.StandardWebhooks(secret), "Webhook-Signature", []string{strings.Repeat(" ", size)}},
		"many lines":             {provider.GitHub("a secret"), "X-Hub-Signature-256", make([]string, size/32)},
		"of a public key":        {provider.Discord(strings.Repeat("00", 32)), "X-Signature-Ed25519", []string{strings.Repeat("0", size)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &webhook.Receiver{Provider: test.provider}
			openHook(t, w)
			body := &untouched{}
			r := httptest.NewRequest(http.MethodPost, "/", body)
			r.Header[test.name] = test.values
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			runtime.ReadMemStats(&after)
			if rec.Code != 400 && rec.Code != 401 || body.touched {
				t.Errorf("got status %d, body read %v, want 400 or 401, false", rec.Code, body.touched)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
				t.Errorf("got %d bytes allocated, want at most 64 KiB", n)
			}
		})
	}
}

// Signed events with unusual ids and types are delivered unchanged, and recognised when they are
// repeated.
func TestUnusualIDsAndTypesAreDelivered(t *testing.T) {
	deep := strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999)
	tests := map[string]struct{ body, id, kind string }{
		"control bytes":      {`{"id":"a\u0000b\r\nc","type":"\u001b[2J"}`, "a\x00b\r\nc", "\x1b[2J"},
		"invalid UTF-8":      {"{\"id\":\"a\xffb\",\"type\":\"\xc0\x80\"}", "a\xffb", "\xc0\x80"},
		"half of a pair":     {`{"id":"\ud800","type":"\udc00x"}`, "\ufffd", "\ufffdx"},
		"long":               {`{"id":"` + strings.Repeat("i", 1<<19) + `","type":"t"}`, strings.Repeat("i", 1<<19), "t"},
		"twice":              {`{"id":"first","type":"one","ID":"x","id":"second","type":"two"}`, "first", "one"},
		"escaped, and twice": {`{"\u0069d":"first","type":"one","id":"second"}`, "first", "one"},
		"no strings":         {`{"id":12345678901234567890,"type":{"a":[1]}}`, "12345678901234567890", `{"a":[1]}`},
		"null":               {`{"id":null,"type":null}`, "", ""},
		"deep":               {`{"a":` + deep + `,"id":"first","type":"one"}`, "first", "one"},
		"deeper":             {`{"a":[` + deep + `],"id":"first","type":"one"}`, "", ""},
		"no JSON":            {`{"id":"first","type":"one"`, "", ""},
		"two values":         {`{"id":"first","type":"one"}{}`, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: provider.Stripe("whsec_a secret")}
				conn := openHook(t, w)
				a := post(w, sign(t, w.Provider, "", test.body))
				m := take(t, conn, test.body)
				if m.ID != test.id || m.Type != test.kind {
					t.Errorf("got id %.40q and type %.40q, want %.40q and %.40q", m.ID, m.Type, test.id, test.kind)
				}
				m.Settle(nil)
				wantStatus(t, a, 204)
				again := post(w, sign(t, w.Provider, "", test.body))
				if test.id == "" {
					take(t, conn, test.body).Settle(nil)
				}
				wantStatus(t, again, 204)
			})
		})
	}
}

// A secret in the URL counts only if it occurs once, because programs differ in which of several
// they take.
func TestRepeatedQueryParametersAreRefused(t *testing.T) {
	w := &webhook.Receiver{Provider: provider.AzureEventGrid(nil, "a-secret")}
	conn := openHook(t, w)
	for query, status := range map[string]int{
		"code=a-secret": 204, "code=a-secret&code=a-secret": 503, "code=guess&code=a-secret": 503,
		"code=a-secret&code=": 503, "code=a-secret;code=guess": 503, "code=a-secret&%63ode=guess": 503, "Code=a-secret": 503,
	} {
		r := httptest.NewRequest(http.MethodPost, "/?"+query, strings.NewReader(`[{"id":"1"}]`))
		a := post(w, r)
		if status == 204 {
			read(t, conn).Settle(nil)
		}
		wantStatus(t, a, status)
	}
}

func TestContentCodingIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		openHook(t, w)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(make([]byte, 1<<20))
		z.Close()
		r := sign(t, w.Provider, "msg_1", packed.String())
		body := &untouched{}
		r.Header.Set("Content-Encoding", "gzip")
		r.Body = io.NopCloser(body)
		if a := wantStatus(t, post(w, r), 415); a.Header.Get("Accept-Encoding") != "identity" || body.touched {
			t.Errorf("got Accept-Encoding %q, body read %v, want identity, false", a.Header.Get("Accept-Encoding"), body.touched)
		}
	})
}

// Some senders set Content-Encoding although they apply no coding: Next.js servers set "none" to
// prevent compression by proxies.
func TestIdentityCodingIsAccepted(t *testing.T) {
	for _, coding := range [][]string{{""}, {"none"}, {"UTF-8"}, {"identity, identity"}, {"Identity", "none"}, {" , identity"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			conn := openHook(t, w)
			r := sign(t, w.Provider, "msg_1", `{}`)
			r.Header["Content-Encoding"] = coding
			a := post(w, r)
			take(t, conn, `{}`).Settle(nil)
			wantStatus(t, a, 204)
		})
	}
	for _, coding := range [][]string{{"gzip"}, {"identity, br"}, {"none", "deflate"}, {"aws-chunked"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			openHook(t, w)
			r := sign(t, w.Provider, "msg_1", `{}`)
			r.Header["Content-Encoding"] = coding
			wantStatus(t, post(w, r), 415)
		})
	}
}

func TestForged(t *testing.T) {
	tests := map[string]struct {
		change func(r *http.Request)
		status int
	}{
		"body changed":          {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{ }`)) }, 401},
		"id changed":            {func(r *http.Request) { r.Header.Set("Webhook-Id", "msg_2") }, 401},
		"signature changed":     {func(r *http.Request) { r.Header.Set("Webhook-Signature", "v1,"+strings.Repeat("A", 43)+"=") }, 401},
		"no signature":          {func(r *http.Request) { r.Header.Del("Webhook-Signature") }, 400},
		"two signature headers": {func(r *http.Request) { r.Header.Add("Webhook-Signature", "v1,x") }, 400},
		"old":                   {func(r *http.Request) { time.Sleep(5*time.Minute + time.Second) }, 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				conn := openHook(t, w)
				var rejected *webhook.RejectedError
				w.OnRejected = func(e *webhook.RejectedError) { rejected = e }
				r := sign(t, w.Provider, "msg_1", `{}`)
				test.change(r)
				a := wantStatus(t, post(w, r), test.status)
				if body, _ := io.ReadAll(a.Body); len(body) > 0 {
					t.Errorf("got body %q of the answer, want none", body)
				}
				if rejected == nil || rejected.Status != test.status || rejected.Provider != w.Provider.Name {
					t.Errorf("OnRejected: got %v, want status %d and the provider's name", rejected, test.status)
				}
				deliver(t, w, conn, "msg_1", `{}`) // the forged request left nothing
			})
		})
	}
}

// A provider that is slow, for example because it fetches a certificate, has a deadline too.
func TestSlowProviderHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		slow := 11 * time.Second
		w.Provider.Respond = func(*provider.Request, *provider.Delivery) *provider.Answer {
			time.Sleep(slow)
			return nil
		}
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 503)
		m := take(t, conn, `{}`)
		slow = 0
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		unanswered(t, a)
		m.Settle(nil)
		wantStatus(t, a, 204)
	})
}

type busyError struct{ error }

func (busyError) Busy() bool { return true }

func (e busyError) Unwrap() error { return e.error }

// A verification that waits for a processor ends with its request and does not delay other senders.
func TestBusyVerificationEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := &provider.Provider{Name: "mine", Deadline: 3 * time.Second, Scheme: provider.Custom{
			Verify: func(r *provider.Request, _ []string) (int, error) {
				ctx, cancel := context.WithDeadline(r.Context, r.Deadline)
				defer cancel()
				<-ctx.Done()
				return -1, busyError{ctx.Err()}
			},
		}}
		if err := waits.SetSecrets("a secret"); err != nil {
			t.Fatal(err)
		}
		waits.Answers.Malformed = provider.Answer{Status: 401}
		w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/waits": waits, "/": newHook().Provider}}
		rejected := make(chan error, 2)
		w.OnRejected = func(e *webhook.RejectedError) { rejected <- e }
		conn := openHook(t, w)
		start := time.Now()
		late := post(w, httptest.NewRequest(http.MethodPost, "/waits", strings.NewReader(`{}`)))
		ctx, cancel := context.WithCancel(t.Context())
		gone := post(w, httptest.NewRequest(http.MethodPost, "/waits", strings.NewReader(`{}`)).WithContext(ctx))
		a := post(w, sign(t, w.Providers["/"], "msg_1", `{}`))
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, a, 204)
		time.Sleep(time.Second)
		cancel()
		wantStatus(t, gone, 503)
		if d := time.Since(start); d != time.Second {
			t.Errorf("sender that has gone: got the answer after %v, want 1s", d)
		}
		wantStatus(t, late, 503)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("got the answer after %v, want 3s", d)
		}
		if first, second := <-rejected, <-rejected; !errors.Is(first, context.Canceled) || !errors.Is(second, context.DeadlineExceeded) {
			t.Errorf("OnRejected: got %v, %v, want a cancelled context, then a deadline", first, second)
		}
	})
}
