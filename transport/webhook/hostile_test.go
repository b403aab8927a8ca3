package webhook_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// counted is a body without end that counts what is read of it.
type counted struct{ n atomic.Int64 }

func (c *counted) Read(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// pieces is a body that comes a byte at a time.
type pieces struct{ io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:1]) }

func TestMaxBody(t *testing.T) {
	const most = 100
	at := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	tests := map[string]struct {
		body    string
		chunked bool
		status  int
	}{
		"exact":             {at(most), false, 204},
		"one over":          {at(most + 1), false, 413},
		"exact, chunked":    {at(most), true, 204},
		"one over, chunked": {at(most + 1), true, 413},
		"empty":             {"", false, 204},
		"empty, chunked":    {"", true, 204},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				w.MaxBody = most
				conn := openHook(t, w)
				r := sign(t, w.Provider, "msg_1", test.body)
				unread := &untouched{}
				switch {
				case test.chunked:
					r.ContentLength = -1
					r.Body = io.NopCloser(pieces{r.Body})
				case test.status == 413:
					r.Body = io.NopCloser(unread)
				}
				a := post(w, r)
				if test.status == 204 {
					take(t, conn, test.body).Settle(nil)
				}
				got := wantStatus(t, a, test.status)
				if test.status == 413 && got.Header.Get("Connection") != "close" {
					t.Error("the connection stays open with the rest of the body in it")
				}
				if unread.touched {
					t.Error("a body was read that is announced to be too large")
				}
			})
		})
	}
}

func TestDefaultMaxBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		openHook(t, w)
		r := sign(t, w.Provider, "msg_1", `{}`)
		body := &counted{}
		r.ContentLength, r.Body = -1, io.NopCloser(body)
		wantStatus(t, post(w, r), 413)
		if n := body.n.Load(); n > 3<<20 {
			t.Errorf("%d bytes were read to find out that it is more than 1 MiB", n)
		}
	})
}

// The largest MaxBody there is means any body.
func TestAnyBody(t *testing.T) {
	for _, n := range []int{0, 2, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			w.MaxBody = math.MaxInt
			conn := openHook(t, w)
			body := strings.Repeat("x", n)
			deliver(t, w, conn, "announced", body)
			r := sign(t, w.Provider, "chunked", body)
			r.ContentLength = -1
			a := post(w, r)
			take(t, conn, body).Settle(nil)
			wantStatus(t, a, 204)
		})
	}
}

func TestTakesNoMemoryForWhatIsAnnounced(t *testing.T) {
	w := newHook()
	w.MaxBody = 1 << 30
	openHook(t, w)
	r := sign(t, w.Provider, "msg_1", `{}`)
	r.ContentLength, r.Body = 1<<30, io.NopCloser(strings.NewReader(`{}x`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	wantStatus(t, post(w, r), 503)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated for a body of three", n)
	}
}

func TestUnpacksNothing(t *testing.T) {
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
			t.Errorf("Accept-Encoding %q, body read: %v", a.Header.Get("Accept-Encoding"), body.touched)
		}
	})
}

// What some senders write that apply no coding: "none" is what Next.js servers set to keep
// proxies from compressing.
func TestUncodedBodies(t *testing.T) {
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
				var told *webhook.RejectedError
				w.OnRejected = func(e *webhook.RejectedError) { told = e }
				r := sign(t, w.Provider, "msg_1", `{}`)
				test.change(r)
				a := wantStatus(t, post(w, r), test.status)
				if body, _ := io.ReadAll(a.Body); len(body) > 0 {
					t.Errorf("the answer says %q", body)
				}
				if told == nil || told.Status != test.status || told.Provider != w.Provider.Name {
					t.Errorf("OnRejected was told %v", told)
				}
				deliver(t, w, conn, "msg_1", `{}`) // nothing of it is left
			})
		})
	}
}

// A provider that takes its time, to fetch a certificate for example, has a deadline too.
func TestLateProvider(t *testing.T) {
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

func (busyError) Busy() bool      { return true }
func (e busyError) Unwrap() error { return e.error }

// A proof that has to wait to be checked waits no longer than somebody waits for the answer,
// and holds up no other sender.
func TestProofThatCannotBeChecked(t *testing.T) {
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
		told := make(chan error, 2)
		w.OnRejected = func(e *webhook.RejectedError) { told <- e }
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
			t.Errorf("a sender that was gone was waited for until %v", d)
		}
		wantStatus(t, late, 503)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("answered after %v", d)
		}
		if first, second := <-told, <-told; !errors.Is(first, context.Canceled) || !errors.Is(second, context.DeadlineExceeded) {
			t.Errorf("OnRejected was told %v, %v", first, second)
		}
	})
}

// What is forged leaves no memory to be collected, as far as its body is concerned.
func TestForgedBodiesTakeNoMemory(t *testing.T) {
	w := newHook()
	openHook(t, w)
	r := sign(t, w.Provider, "msg_1", `{}`)
	body := bytes.NewReader(make([]byte, 4000))
	r.Body, r.ContentLength = io.NopCloser(body), 4000
	out := &nowhere{header: http.Header{}}
	const n = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		body.Seek(0, io.SeekStart)
		w.ServeHTTP(out, r)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 3000 { // a pool under the race detector forgets some of it
		t.Errorf("%d bytes were allocated for each forged body of 4000", each)
	}
}

// An answer that a provider cuts from the body is still that of its own request.
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

		// While the duplicate is answered, somebody else's body comes in.
		rec := &interrupted{ResponseRecorder: httptest.NewRecorder()}
		rec.interrupt = func() {
			forged := sign(t, w.Provider, "msg_2", `{"n":1}`)
			forged.Body = io.NopCloser(strings.NewReader(`#######`))
			wantStatus(t, post(w, forged), 401)
		}
		w.ServeHTTP(rec, sign(t, w.Provider, "msg_1", `{"n":1}`))
		if got := rec.Body.String(); got != `{"n":1}` {
			t.Errorf("answered %q", got)
		}
	})
}

// interrupted has something happen between header and body.
type interrupted struct {
	*httptest.ResponseRecorder
	interrupt func()
}

func (i *interrupted) WriteHeader(status int) {
	i.ResponseRecorder.WriteHeader(status)
	i.interrupt()
}

func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		boom := true
		w.Provider.Respond = func(*provider.Request, *provider.Delivery) *provider.Answer {
			if boom {
				panic("the secret is 1234")
			}
			return nil
		}
		var told error
		w.OnRejected = func(e *webhook.RejectedError) { told = e }
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 500)
		if told == nil || !strings.Contains(told.Error(), "panic") || strings.Contains(told.Error(), "1234") {
			t.Errorf("OnRejected was told %v", told)
		}
		boom = false
		deliver(t, w, conn, "msg_1", `{}`)
	})
}

func TestServerPanicsStayTheServers(t *testing.T) {
	w := newHook()
	openHook(t, w)
	r := sign(t, w.Provider, "msg_1", `{}`)
	r.Body = io.NopCloser(aborting{})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v", v)
		}
	}()
	w.ServeHTTP(httptest.NewRecorder(), r)
}

type aborting struct{}

func (aborting) Read([]byte) (int, error) { panic(http.ErrAbortHandler) }

func TestHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		r := sign(t, w.Provider, "msg_1", `{}`)
		r.URL.RawQuery = "X-Injected=1&Webhook-Id=other"
		for name, value := range map[string]string{
			"Cookie": "X-Injected=2", "Authorization": "Bearer marker", "Proxy-Authorization": "marker",
			"X-Hub-Signature-256": "marker", "X-Shopify-Hmac-Sha256": "marker", "X-Gitlab-Token": "marker",
			"Plaid-Verification": "marker", "Paypal-Transmission-Sig": "marker", "X-Hook-Secret": "marker",
			"X-Api-Key": "marker", "Apikey": "marker", "X-Password": "marker",
			"Connection": "keep-alive", "Transfer-Encoding": "chunked",
			"X-Kept": "kept", "Content-Type": "application/json", "X-Signal": "kept", "I-Twilio-Idempotency-Token": "kept",
		} {
			r.Header.Set(name, value)
		}
		r.Header.Add("X-Kept", "twice")
		before := r.Header.Clone()
		a := post(w, r)
		m := take(t, conn, `{}`)
		m.Settle(nil)
		wantStatus(t, a, 204)

		h := m.Delivery.Header
		want := []string{
			"Content-Type", "I-Twilio-Idempotency-Token", "Webhook-Id", "Webhook-Timestamp", "X-Kept", "X-Signal",
		}
		if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, want) {
			t.Errorf("the header has %q\nwant %q", got, want)
		}
		if got := h.Values("x-kept"); !slices.Equal(got, []string{"kept", "twice"}) {
			t.Errorf("X-Kept: got %q, want both lines", got)
		}
		for name, values := range h {
			if strings.Contains(strings.Join(values, " "), "marker") {
				t.Errorf("%s: %q", name, values)
			}
			values[0] = "changed"
			h[name] = append(values, "added")
		}
		for name := range before {
			if !slices.Equal(r.Header[name], before[name]) {
				t.Errorf("the request's own header has changed: %s: %q", name, r.Header[name])
			}
		}
	})
}

// What the Connection header names ends with the connection. Nothing of the receiver's own
// can be named away.
func TestConnectionFields(t *testing.T) {
	tests := map[string]struct {
		connection []string
		gone       []string
	}{
		"nothing":        {nil, nil},
		"the usual":      {[]string{"Keep-Alive, close"}, nil},
		"a field":        {[]string{"keep-alive,x-hop"}, []string{"X-Hop"}},
		"in other cases": {[]string{"X-HOP"}, []string{"X-Hop"}},
		"on two lines":   {[]string{"close", ",\t x-hop \t,,x-other ,x-missing"}, []string{"X-Hop", "X-Other"}},
		"a part":         {[]string{"X-Ho, Hop"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				conn := openHook(t, w)
				r := sign(t, w.Provider, "msg_1", `{}`)
				want := []string{"Webhook-Id", "Webhook-Timestamp", "X-Hop", "X-Other"}
				r.Header.Set("X-Hop", "marker")
				r.Header.Set("X-Other", "marker")
				r.Header["Connection"] = test.connection
				a := post(w, r)
				m := take(t, conn, `{}`)
				m.Settle(nil)
				wantStatus(t, a, 204)
				want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(test.gone, name) })
				if got := slices.Sorted(maps.Keys(m.Delivery.Header)); !slices.Equal(got, want) {
					t.Errorf("the header has %q\nwant %q", got, want)
				}
			})
		})
	}
}

// A request that is for no provider is reported without what may be secret in its address.
func TestOfNoProvider(t *testing.T) {
	w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/in": newHook().Provider}}
	var told *webhook.RejectedError
	w.OnRejected = func(e *webhook.RejectedError) { told = e }
	openHook(t, w)
	a := wantStatus(t, post(w, httptest.NewRequest(http.MethodPost, "/in/marker?code=marker", nil)), 404)
	if body, _ := io.ReadAll(a.Body); len(body) > 0 {
		t.Errorf("the answer says %q, which the sender can refuse to take", body)
	}
	if told == nil || told.Status != 404 || told.Provider != "" || strings.Contains(told.Error(), "marker") {
		t.Fatalf("OnRejected was told %v", told)
	}
	const want = `webhook: request answered with 404 Not Found: no provider for its path: Providers has ["/in"]`
	if got := told.Error(); got != want {
		t.Errorf("the error is %q", got)
	}
}

func TestNamesThePathItMisses(t *testing.T) {
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

// A body that a handler around the Receiver has read is not the sender's fault: it is asked to
// repeat the delivery, and OnRejected names the reason. A Token proves nothing about the body,
// so that an empty one would be delivered.
func TestBodyThatWasReadBefore(t *testing.T) {
	token := &provider.Provider{Name: "token", Scheme: provider.Token{Header: "X-Token"}}
	if err := token.SetSecrets("a token of some length"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		around func(r *http.Request)
		want   string
	}{
		"all":    {func(r *http.Request) { io.ReadAll(r.Body) }, "11 bytes announced, 0 arrived"},
		"closed": {func(r *http.Request) { io.ReadAll(r.Body); r.Body.Close() }, "11 bytes announced, 0 arrived"},
		"some":   {func(r *http.Request) { io.ReadFull(r.Body, make([]byte, 4)) }, "11 bytes announced, 7 arrived"},
	} {
		for _, p := range []*provider.Provider{token, newHook().Provider} {
			for _, http2 := range []bool{false, true} {
				if name == "closed" && http2 {
					continue // the error is not exported
				}
				synctest.Test(t, func(t *testing.T) {
					w := &webhook.Receiver{Provider: p}
					openHook(t, w)
					var told error
					w.OnRejected = func(e *webhook.RejectedError) { told = e }
					srv := mock.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						test.around(r)
						w.ServeHTTP(rw, r)
					}))
					defer srv.Close()
					url, client := srv.URL, srv.Client()
					if http2 {
						url = "https" + strings.TrimPrefix(url, "http")
					}
					wantStatus(t, send(t, w, client, url, "msg_1", `{"no":12345}`[:10]+"}"), 503)
					if told == nil || !strings.Contains(told.Error(), test.want+": a handler around the Receiver read or replaced the body") {
						t.Errorf("%s, %s: OnRejected was called with %v", name, p.Name, told)
					}
				})
			}
		}
	}
}

func TestKeepsTheProvidersOwnSecrets(t *testing.T) {
	custom := provider.Custom{
		Headers: []string{"x-plain-name"}, Proof: transport.ProofBearer,
		Verify: func(r *provider.Request, secrets []string) (int, error) {
			return slices.Index(secrets, r.Header.Get("x-plain-name")), nil
		},
		Sign: func(r *provider.Request, _, secret string) error {
			r.Header.Set("x-plain-name", secret)
			return nil
		},
	}
	signature, token := provider.Signature{Header: "x-plain-name"}, provider.Token{Header: "x-plain-name"}
	for name, c := range map[string]struct {
		scheme provider.Scheme
		proof  transport.Proof
	}{
		"signature":            {signature, transport.ProofBody},
		"pointer to signature": {&signature, transport.ProofBody},
		"token":                {token, transport.ProofBearer},
		"pointer to token":     {&token, transport.ProofBearer},
		"custom":               {custom, transport.ProofBearer},
		"pointer to custom":    {&custom, transport.ProofBearer},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: &provider.Provider{Name: "mine", Scheme: c.scheme}}
				if err := w.Provider.SetSecrets("a secret"); err != nil {
					t.Fatal(err)
				}
				conn := openHook(t, w)
				a := post(w, sign(t, w.Provider, "", `{}`))
				m := take(t, conn, `{}`)
				if m.Delivery.Header.Get("X-Plain-Name") != "" {
					t.Errorf("the header has the secret: %v", m.Delivery.Header)
				}
				if got := m.Delivery.Proof; got != c.proof {
					t.Errorf("proof %v, want %v", got, c.proof)
				}
				m.Settle(nil)
				wantStatus(t, a, 204)
			})
		})
	}
}

// TestWebhookNeedsURL holds that Validate knows which schemes sign the URL, as values and as
// pointers.
func TestNeedsURL(t *testing.T) {
	signed := provider.Signature{Header: "S", Signed: "{url}{body}"}
	for scheme, want := range map[provider.Scheme]string{
		&signed:                          "Receiver.URL: is required: mine signs it",
		&provider.Signature{Header: "S"}: "<nil>",
		&provider.Token{Header: "S"}:     "<nil>",
		(*provider.Token)(nil):           "Receiver.Provider: provider: mine: Scheme is nil",
	} {
		w := &webhook.Receiver{Provider: &provider.Provider{Name: "mine", Scheme: scheme}}
		w.Provider.SetSecrets("a secret")
		if scheme == (*provider.Token)(nil) {
			w.Provider.Scheme = scheme
		}
		if got := fmt.Sprint(w.Validate()); got != want {
			t.Errorf("%T: %s, want %s", scheme, got, want)
		}
	}
}

func TestSaysWhichKeyMatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, both := provider.GitHub("the old secret"), provider.GitHub("the new secret", "the old secret")
		w := &webhook.Receiver{Provider: both}
		conn := openHook(t, w)
		for key, signer := range []*provider.Provider{both, old} {
			a := post(w, sign(t, signer, fmt.Sprint(key), `{}`))
			m := take(t, conn, `{}`)
			if got := m.Delivery.Key; got != key {
				t.Errorf("key %d, want %d", got, key)
			}
			if got := m.Delivery.Proof; got != transport.ProofBody {
				t.Errorf("proof %v, want body", got)
			}
			m.Settle(nil)
			wantStatus(t, a, 204)
		}
	})
}

func TestDataIsTheReceiversOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Dedupe = -1
		conn := openHook(t, w)
		var held []transport.Message
		for i := range 500 {
			body := fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", i*7%900))
			forged := sign(t, w.Provider, "msg_1", body)
			forged.Body = io.NopCloser(strings.NewReader(strings.Repeat("#", len(body))))
			a, b := post(w, sign(t, w.Provider, "msg_1", body)), post(w, forged)
			m := take(t, conn, body)
			m.Settle(nil)
			wantStatus(t, a, 204)
			wantStatus(t, b, 401)
			held = append(held, m)
		}
		for i, m := range held {
			if !strings.HasPrefix(string(m.Data), fmt.Sprintf(`{"n":%d,`, i)) || strings.Contains(string(m.Data), "#") {
				t.Fatalf("event %d was overwritten: %q", i, m.Data)
			}
		}
	})
}

func TestDataHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		w.Provider.Respond = func(r *provider.Request, d *provider.Delivery) *provider.Answer {
			d.Events[0].Data = r.Body[:1]
			return nil
		}
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		m := take(t, conn, `{`)
		if cap(m.Data) > 1 {
			t.Error("Data has room that is somebody else's")
		}
		m.Settle(nil)
		wantStatus(t, a, 204)
	})
}

func TestOtherMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		openHook(t, w)
		for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS", "DELETE"} {
			if a := wantStatus(t, post(w, httptest.NewRequest(method, "/", nil)), 405); a.Header.Get("Allow") != "POST" {
				t.Errorf("%s: Allow is %q", method, a.Header.Get("Allow"))
			}
		}
		w.Provider.Handshake = func(r *provider.Request) (*provider.Answer, bool) {
			return &provider.Answer{Status: 200, Body: []byte(r.URL)}, r.Method == http.MethodGet
		}
		a := wantStatus(t, post(w, httptest.NewRequest("GET", "/?challenge=x", nil)), 200)
		if body, _ := io.ReadAll(a.Body); string(body) != "/?challenge=x" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("greeted with %q and %v", body, a.Header)
		}
	})
}

// rawConn is a connection to a server in memory whose requests are written byte by byte.
func rawConn(t *testing.T, srv *mock.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := srv.Dial(context.Background(), "tcp", "feed.test:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}

// rawRequest is a signed request as it is on the wire, its body cut off after n bytes.
func rawRequest(t *testing.T, p *provider.Provider, id, body string, n int) string {
	r := sign(t, p, id, body)
	var b strings.Builder
	fmt.Fprintf(&b, "POST / HTTP/1.1\r\nHost: feed.test\r\nContent-Length: %d\r\n", len(body))
	r.Header.Write(&b)
	return b.String() + "\r\n" + body[:n]
}

func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		openHook(t, w)
		srv := mock.NewServer(w)
		defer srv.Close()
		conn, answers := rawConn(t, srv)
		start := time.Now()
		io.WriteString(conn, rawRequest(t, w.Provider, "msg_1", `{"n":1}`, 3))
		a, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); a.StatusCode != 408 || !a.Close || d != 10*time.Second {
			t.Errorf("answered %s after %v, and close %v", a.Status, d, a.Close)
		}
		time.Sleep(time.Second) // net/http's server takes half of it to close the connection
	})
}

func TestSlowBodyOverHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		srv := mock.NewServer(w)
		defer srv.Close()
		defer srv.Client().CloseIdleConnections()
		body, feed := io.Pipe()
		defer feed.Close()
		req, _ := http.NewRequest(http.MethodPost, strings.Replace(srv.URL, "http:", "https:", 1), body)
		req.Header = sign(t, w.Provider, "msg_1", `{"n":1}`).Header
		req.ContentLength = 7
		go io.WriteString(feed, `{"n`)
		start := time.Now()
		a, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if d := time.Since(start); a.ProtoMajor != 2 || a.StatusCode != 408 || d != 10*time.Second {
			t.Errorf("%s answered %s after %v", a.Proto, a.Status, d)
		}
		deliver(t, w, conn, "msg_1", `{"n":1}`)
		time.Sleep(2 * time.Second) // net/http closes the connection in its own time
	})
}

func TestBodyBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		var told error
		w.OnRejected = func(e *webhook.RejectedError) { told = e }
		srv := mock.NewServer(w)
		defer srv.Close()
		raw, _ := rawConn(t, srv)
		io.WriteString(raw, rawRequest(t, w.Provider, "msg_1", `{"n":1}`, 3))
		synctest.Wait()
		raw.Close()
		synctest.Wait()
		if told == nil || !strings.Contains(told.Error(), "reading the request body failed") {
			t.Errorf("OnRejected was told %v", told)
		}
		deliver(t, w, conn, "msg_1", `{"n":1}`)
	})
}

// The deadline of one request must not be that of the next one on the same connection.
func TestConnectionIsGoodForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		srv := mock.NewServer(w)
		defer srv.Close()
		raw, answers := rawConn(t, srv)
		for i, wait := range []time.Duration{0, 11 * time.Second, 0, 9 * time.Second} {
			io.WriteString(raw, rawRequest(t, w.Provider, fmt.Sprint("msg_", i), `{}`, 2))
			m := take(t, conn, `{}`)
			time.Sleep(wait)
			m.Settle(nil)
			a, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			if late := wait > 10*time.Second; late != (a.StatusCode == 503) || a.Close {
				t.Errorf("request %d was answered %s, close %v", i, a.Status, a.Close)
			}
			time.Sleep(time.Minute)
		}
	})
}

// A server's own timeouts are for slow peers, not for the consumer.
func TestOutlastsTheServersTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		network := new(mock.Network)
		l, err := network.Listen("feed.test:80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: w, ReadTimeout: time.Second, WriteTimeout: 2 * time.Second}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		defer func() { srv.Close(); <-done }()
		raw, err := network.Dial(context.Background(), "tcp", "feed.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		io.WriteString(raw, rawRequest(t, w.Provider, "msg_1", `{}`, 2))
		m := take(t, conn, `{}`)
		time.Sleep(9 * time.Second)
		m.Settle(nil)
		a, err := http.ReadResponse(bufio.NewReader(raw), nil)
		if err != nil || a.StatusCode != 204 {
			t.Errorf("%v, %v", a, err)
		}
	})
}

// What is not read of a body that is too large is not waited for.
func TestUploadWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.MaxBody = 1 << 10
		openHook(t, w)
		srv := mock.NewServer(w)
		defer srv.Close()
		body := &counted{}
		req, _ := http.NewRequest(http.MethodPost, srv.URL, io.NopCloser(body))
		signed := sign(t, w.Provider, "msg_1", `{}`)
		req.Header = signed.Header
		a, err := srv.Client().Do(req)
		if err != nil && !errors.Is(err, net.ErrClosed) {
			t.Logf("the sender sees %v", err)
		} else if a.Body.Close(); a.StatusCode != 413 {
			t.Errorf("answered %s", a.Status)
		}
		if n := body.n.Load(); n > 1<<20 {
			t.Errorf("%d bytes were taken", n)
		}
		srv.Client().CloseIdleConnections()
		time.Sleep(time.Second) // net/http's server takes half of it to close the connection
	})
}

// FuzzReceiver sends requests by someone who does not have the secret.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("POST /?q=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nWebhook-Id: a\r\n" +
		"Webhook-Timestamp: 1\r\nWebhook-Signature: v1,AAAA v1a,BBBB\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nX-Hub-Signature-256: sha256=00\r\nContent-Length: 1\r\n\r\n{"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("GET /x HTTP/1.0\r\nContent-Encoding: gzip\r\n\r\n"))
	hooks := []*webhook.Receiver{newHook(), {Provider: provider.GitHub("a secret"), MaxBody: 64}}
	for _, w := range hooks {
		conn := openHook(f, w)
		go func() {
			if m, err := conn.next(); err == nil {
				panic(fmt.Sprintf("a forged request was delivered: %q", m.Data))
			}
		}()
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, w := range hooks {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				return
			}
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			if rec.Code < 400 {
				t.Errorf("answered %d", rec.Code)
			}
		}
	})
}
