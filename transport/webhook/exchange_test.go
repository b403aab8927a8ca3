package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestAckAfterHandlingAnswersOnceAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		a := post(w, sign(t, w.Provider, "msg_1", `{"type":"user.created"}`))
		m := take(t, conn, `{"type":"user.created"}`)
		if m.ID != "msg_1" || m.Type != "user.created" || m.Token != "" {
			t.Errorf("ID %q, Type %q, Token %q", m.ID, m.Type, m.Token)
		}
		unanswered(t, a)
		m.Settle(nil)
		wantStatus(t, a, 204)
	})
}

func TestNackIsAnsweredBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		take(t, conn, `{}`).Settle(errors.New("no"))
		wantStatus(t, a, 503)

		// The id is free again.
		a = post(w, sign(t, w.Provider, "msg_1", `{}`))
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, a, 204)
	})
}

func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Provider.Deadline = 3 * time.Second
		conn := openHook(t, w)
		start := time.Now()
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		m := take(t, conn, `{}`)
		wantStatus(t, a, 503)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("answered after %v", d)
		}
		again := post(w, sign(t, w.Provider, "msg_1", `{}`))
		unanswered(t, again)
		m.Settle(nil)
		wantStatus(t, again, 204)
	})
}

func TestRefusesWithoutListener(t *testing.T) {
	w := newHook()
	body := &untouched{}
	r := httptest.NewRequest(http.MethodPost, "/", body)
	wantStatus(t, post(w, r), 503)
	if body.touched {
		t.Error("the body was read although there is no subscription")
	}
}

// untouched records whether it is read.
type untouched struct{ touched bool }

func (u *untouched) Read([]byte) (int, error) { u.touched = true; return 0, io.EOF }

func TestAckOnEnqueueAnswersOnceAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Ack = webhook.AckOnEnqueue
		conn := openBuffer(t, w, 1)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{"n":1}`)), 204)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_2", `{"n":2}`)), 503)
		if m := take(t, conn, `{"n":1}`); m.Settle != nil {
			t.Error("the message has a Settle, although its sender has the answer")
		}
		wantStatus(t, post(w, sign(t, w.Provider, "msg_2", `{"n":2}`)), 204)
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close waited %v for an event that is not settled", d)
		}
		conn = openHook(t, w)
		for _, id := range []string{"msg_1", "msg_2"} {
			wantStatus(t, post(w, sign(t, w.Provider, id, `{}`)), 204)
		}
		if n := len(conn.queue); n != 0 {
			t.Errorf("%d events were delivered again", n)
		}
	})
}

func TestRefusesBeforeTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		var why []error
		w.OnRejected = func(e *webhook.RejectedError) { why = append(why, e) }
		unread := func(status int, reason string) {
			t.Helper()
			body := &untouched{}
			r := sign(t, w.Provider, "msg_x", `{}`)
			r.Body = io.NopCloser(body)
			wantStatus(t, post(w, r), status)
			if body.touched {
				t.Error("the body was read")
			}
			if text := why[len(why)-1].Error(); !strings.Contains(text, reason) {
				t.Errorf("OnRejected was called with %q, want %q", text, reason)
			}
		}
		unread(503, "no Listener is open")

		conn := openBuffer(t, w, 2)
		var answers []<-chan *http.Response
		for i := range 2 {
			answers = append(answers, post(w, sign(t, w.Provider, fmt.Sprint("msg_", i), `{}`)))
		}
		synctest.Wait()
		unread(503, "the buffer is full")
		take(t, conn, `{}`).Settle(nil)
		answers = append(answers, post(w, sign(t, w.Provider, "msg_y", `{}`)))
		synctest.Wait()
		m := take(t, conn, `{}`) // not settled while the Listener is closed
		m2 := take(t, conn, `{}`)

		go conn.Close()
		synctest.Wait()
		unread(503, "closing")
		m.Settle(nil)
		m2.Settle(nil)
		for _, a := range answers {
			wantStatus(t, a, 204)
		}
	})
}

func TestSettleCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		first := take(t, conn, `{}`)
		first.Settle(errors.New("no"))
		wantStatus(t, a, 503)
		a = post(w, sign(t, w.Provider, "msg_1", `{}`))
		take(t, conn, `{}`)
		first.Settle(nil) // of the attempt before
		unanswered(t, a)
		conn.Close()
		wantStatus(t, a, 503)
	})
}

// expecting is the head of a request whose body is only sent when it is asked for.
func expecting(t *testing.T, p *provider.Provider, target string, length int, more string) string {
	head := rawRequest(t, p, "msg_1", `{"n":1}`, 0)
	head = strings.Replace(head, "POST / ", "POST "+target+" ", 1)
	head = strings.Replace(head, "Content-Length: 7", fmt.Sprint("Content-Length: ", length), 1)
	return strings.TrimSuffix(head, "\r\n") + more + "Expect: 100-continue\r\n\r\n"
}

// TestRefusesBeforeContinue refuses what its header speaks against without the words
// that make a sender send the body.
func TestRefusesBeforeContinue(t *testing.T) {
	tests := map[string]struct {
		status int
		target string
		length int
		more   string
		change func(w *webhook.Receiver, conn *inbox)
	}{
		"good":           {100, "/", 7, "", nil},
		"too large":      {413, "/", 2 << 20, "", nil},
		"packed":         {415, "/", 7, "Content-Encoding: gzip\r\n", nil},
		"two signatures": {400, "/", 7, "Webhook-Signature: v1,AAAA\r\n", nil},
		"another path":   {404, "/other", 7, "", nil},
		"closed":         {503, "/", 7, "", func(_ *webhook.Receiver, conn *inbox) { conn.Close() }},
		"a question": {200, "/?validationToken=abc", 7, "", func(w *webhook.Receiver, _ *inbox) {
			w.Providers["/"].Handshake = provider.MicrosoftGraph("a secret").Handshake
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newHook().Provider
				w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/": p}}
				conn := openHook(t, w)
				srv := mock.NewServer(w)
				defer srv.Close()
				raw, in := rawConn(t, srv)
				if test.change != nil {
					test.change(w, conn)
				}
				go io.WriteString(raw, expecting(t, p, test.target, test.length, test.more))
				line, err := in.ReadString('\n')
				if want := fmt.Sprintf("HTTP/1.1 %d ", test.status); err != nil || !strings.HasPrefix(line, want) {
					t.Errorf("answered %q, %v", line, err)
				}
				raw.Close()
				time.Sleep(time.Minute) // for the server to notice
			})
		})
	}
}

// TestPipelinedRequests sends several requests before the first answer, one of them forged.
// They are answered in order, and what is refused does not end the others.
func TestPipelinedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		srv := mock.NewServer(w)
		defer srv.Close()
		raw, in := rawConn(t, srv)
		forged := strings.Replace(rawRequest(t, w.Provider, "msg_2", `{"n":2}`, 7), `{"n":2}`, `{"n":9}`, 1)
		go io.WriteString(raw, rawRequest(t, w.Provider, "msg_1", `{"n":1}`, 7)+forged+rawRequest(t, w.Provider, "msg_3", `{"n":3}`, 7))
		go func() {
			for range 2 {
				m, err := conn.next()
				if err != nil {
					return
				}
				time.Sleep(time.Second)
				m.Settle(nil)
			}
		}()
		for _, status := range []int{204, 401, 204} {
			if a, err := http.ReadResponse(in, nil); err != nil || a.StatusCode != status || a.Close {
				t.Errorf("answered %v, %v; want %d", a, err, status)
			}
		}
		raw.Close()
		synctest.Wait()
	})
}

// TestVerificationWithoutEnd sends signatures that are as large as a header can be.
// They are refused before the body is read, and for next to nothing.
func TestVerificationWithoutEnd(t *testing.T) {
	const size = 1 << 20
	mac := strings.Repeat("0", 64)
	tests := map[string]struct {
		provider *provider.Provider
		name     string
		values   []string
	}{
		"one that is long":       {provider.GitHub("a secret"), "X-Hub-Signature-256", []string{"sha256=" + strings.Repeat("0", size)}},
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
				t.Errorf("answered %d, and body read: %v", rec.Code, body.touched)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

// TestOddHeaderNames has unexpected ids and types, signed. They are delivered unchanged,
// and what was acknowledged is known by them when it comes again.
func TestOddHeaderNames(t *testing.T) {
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
					t.Errorf("ID %.40q and type %.40q, want %.40q and %.40q", m.ID, m.Type, test.id, test.kind)
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

// TestRepeatedQueryParameters asks with parameters of which one program may take the
// first and another the last: a secret in the URL counts only if it occurs once.
func TestRepeatedQueryParameters(t *testing.T) {
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

// Each request has its own deadline, whatever those before it had.
func TestEachRequestHasItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Providers: map[string]*provider.Provider{
			"/long": provider.StandardWebhooks(secret), "/short": provider.StandardWebhooks(secret),
		}}
		deadlines := map[string]time.Duration{"/long": 5 * time.Second, "/short": 700 * time.Millisecond}
		for path, d := range deadlines {
			w.Providers[path].Deadline = d
		}
		conn := openHook(t, w)
		for i := range 40 {
			path := [...]string{"/long", "/short", "/short", "/long", "/long"}[i%5]
			r := sign(t, w.Providers[path], fmt.Sprint("msg_", i), `{}`)
			r.URL.Path = path
			start := time.Now()
			a := post(w, r)
			take(t, conn, `{}`)
			wantStatus(t, a, 503)
			if d := time.Since(start); d != deadlines[path] {
				t.Errorf("request %d was answered after %v, want %v", i, d, deadlines[path])
			}
			time.Sleep(time.Duration(i) * 130 * time.Millisecond)
		}
	})
}

func TestDisconnectEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		ctx, cancel := context.WithCancel(t.Context())
		gone := post(w, sign(t, w.Provider, "msg_1", `{}`).WithContext(ctx))
		m := take(t, conn, `{}`)
		synctest.Wait()
		start := time.Now()
		cancel()
		if a := <-gone; a.StatusCode < 300 || time.Since(start) > time.Second {
			t.Errorf("answered %s after %v", a.Status, time.Since(start))
		}
		again := post(w, sign(t, w.Provider, "msg_1", `{}`))
		unanswered(t, again)
		m.Settle(nil)
		wantStatus(t, again, 204)
	})
}

// Settle after the sender has gone does not answer another request.
func TestSettleAfterDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		for i := range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			gone := post(w, sign(t, w.Provider, fmt.Sprint("gone_", i), `{}`).WithContext(ctx))
			m := take(t, conn, `{}`)
			cancel()
			<-gone
			next := post(w, sign(t, w.Provider, fmt.Sprint("next_", i), `{}`))
			n := take(t, conn, `{}`)
			m.Settle(nil)
			unanswered(t, next)
			n.Settle(errors.New("no"))
			wantStatus(t, next, 503)
		}
	})
}

// A panic in a function of the subscription is answered with 500, and the event is not accepted.
func TestPanicOfTheSubscription(t *testing.T) {
	for _, what := range []string{"Token", "Sequence", "Skip"} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			var rejected []error
			w.OnRejected = func(e *webhook.RejectedError) { rejected = append(rejected, e) }
			mistakes := 1
			in := func(name string) {
				if name == what && mistakes > 0 {
					mistakes--
					panic("marker")
				}
			}
			sub := subscribe(t, w, &client.Options{
				TokenOf:    func(client.Event) string { in("Token"); return "" },
				SequenceOf: func(client.Event) (string, uint64, bool) { in("Sequence"); return "", 0, false },
				Skip:       func(client.Event) bool { in("Skip"); return false },
			})
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), http.StatusInternalServerError)
			if len(rejected) != 1 || !strings.Contains(rejected[0].Error(), "panicked") || strings.Contains(rejected[0].Error(), "marker") {
				t.Errorf("%s: OnRejected was called with %v", what, rejected)
			}
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			ev, err := sub.Next(t.Context())
			if err != nil || ev.ID != "msg_1" || ev.Gap != nil {
				t.Fatalf("%s: got %q, %v, %v", what, ev.ID, ev.Gap, err)
			}
			ev.Ack()
			wantStatus(t, a, 204)
			if n := sub.Stats().Buffered; n != 0 {
				t.Errorf("%s: %d events are left", what, n)
			}
		})
	}
}

// Requests that repeat a delivery whose events panic are refused, not left waiting.
func TestPanicWithARepeatWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		release := make(chan struct{})
		l, err := w.Listen(t.Context(), func(ms []transport.Message) (int, error) {
			if len(ms) > 0 {
				<-release
				panic("a mistake")
			}
			return 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		first := post(w, sign(t, w.Provider, "msg_1", `{}`))
		synctest.Wait()
		second := post(w, sign(t, w.Provider, "msg_1", `{}`))
		synctest.Wait()
		close(release)
		wantStatus(t, first, 500)
		wantStatus(t, second, 503)
	})
}

// A full buffer does not refuse a handshake: its sender may drop the subscription.
func TestHandshakeWhileFull(t *testing.T) {
	for name, c := range map[string]struct {
		provider       *provider.Provider
		method, target string
	}{
		"X":              {provider.X("a secret"), "GET", "/?crc_token=abc"},
		"Dropbox":        {provider.Dropbox("a secret"), "GET", "/?challenge=abc"},
		"MicrosoftGraph": {provider.MicrosoftGraph("a secret"), "POST", "/?validationToken=abc"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: c.provider}
				conn := openBuffer(t, w, 1)
				body := `{"value":[{}]}`
				first := post(w, sign(t, w.Provider, "", body))
				synctest.Wait()
				wantStatus(t, post(w, sign(t, w.Provider, "", body)), 503)
				wantStatus(t, post(w, httptest.NewRequest(c.method, c.target, nil)), http.StatusOK)
				read(t, conn).Settle(nil)
				if a := <-first; a.StatusCode/100 != 2 {
					t.Errorf("the delivery was answered %s", a.Status)
				}
				conn.Close()
				wantStatus(t, post(w, httptest.NewRequest(c.method, c.target, nil)), 503)
			})
		})
	}
}

// TestHandshakeByUnsignedPost answers the first POST of Notion, which has the secret in its
// body and no signature, and verifies all others.
// (https://developers.notion.com/reference/webhooks)
func TestHandshakeByUnsignedPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider.Provider{Name: "notion", Scheme: provider.Signature{Header: "X-Notion-Signature", Prefix: "sha256="}}
		learnt := ""
		p.Handshake = func(r *provider.Request) (*provider.Answer, bool) {
			if r.Method != http.MethodPost || r.Header.Get("X-Notion-Signature") != "" {
				return nil, false
			}
			if r.Body == nil {
				return nil, true
			}
			learnt = decode.Field(r.Body, "verification_token")
			return &provider.Answer{Status: 200}, learnt != ""
		}
		if err := p.SetSecrets("not known yet"); err != nil {
			t.Fatal(err)
		}
		w := &webhook.Receiver{Provider: p}
		conn := openHook(t, w)
		unsigned := func(body string) *http.Request {
			return httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		}
		wantStatus(t, post(w, unsigned(`{"type":"page.created"}`)), 400)
		wantStatus(t, post(w, unsigned(`{"verification_token":"secret_tMrlL1qK5vuQAh1b"}`)), 200)
		if learnt != "secret_tMrlL1qK5vuQAh1b" {
			t.Fatalf("learnt %q", learnt)
		}
		if err := p.SetSecrets(learnt); err != nil {
			t.Fatal(err)
		}
		a := post(w, sign(t, p, "", `{"type":"page.created"}`))
		take(t, conn, `{"type":"page.created"}`).Settle(nil)
		wantStatus(t, a, 204)
	})
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
			t.Errorf("Accept-Encoding %q, body read: %v", a.Header.Get("Accept-Encoding"), body.touched)
		}
	})
}

// What some senders write that apply no coding: "none" is what Next.js servers set to keep
// proxies from compressing.
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
				var told *webhook.RejectedError
				w.OnRejected = func(e *webhook.RejectedError) { told = e }
				r := sign(t, w.Provider, "msg_1", `{}`)
				test.change(r)
				a := wantStatus(t, post(w, r), test.status)
				if body, _ := io.ReadAll(a.Body); len(body) > 0 {
					t.Errorf("the answer says %q", body)
				}
				if told == nil || told.Status != test.status || told.Provider != w.Provider.Name {
					t.Errorf("OnRejected was called with %v", told)
				}
				deliver(t, w, conn, "msg_1", `{}`) // nothing of it is left
			})
		})
	}
}

// A provider that takes its time, to fetch a certificate for example, has a deadline too.
func TestVerificationUntilTheDeadline(t *testing.T) {
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

// A verification that waits for a processor ends when its request does,
// and holds up no other sender.
func TestVerificationThatIsBusy(t *testing.T) {
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
			t.Errorf("OnRejected was called with %v, %v", first, second)
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

func TestPanicOfTheProvider(t *testing.T) {
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
			t.Errorf("OnRejected was called with %v", told)
		}
		boom = false
		deliver(t, w, conn, "msg_1", `{}`)
	})
}

func TestPanicOfTheServer(t *testing.T) {
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
