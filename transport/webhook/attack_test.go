package webhook_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// expecting is the head of a request whose body is only sent when it is asked for.
func expecting(t *testing.T, p *provider.Provider, target string, length int, more string) string {
	head := rawRequest(t, p, "msg_1", `{"n":1}`, 0)
	head = strings.Replace(head, "POST / ", "POST "+target+" ", 1)
	head = strings.Replace(head, "Content-Length: 7", fmt.Sprint("Content-Length: ", length), 1)
	return strings.TrimSuffix(head, "\r\n") + more + "Expect: 100-continue\r\n\r\n"
}

// TestWebhookRefusesBeforeItAsks refuses what its header speaks against without the words
// that make a sender send the body.
func TestRefusesBeforeItAsks(t *testing.T) {
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

// TestWebhookFraming sends requests of which one program may see two where another sees
// one. What is hidden in a body is never taken for a request, even if it is signed.
func TestFraming(t *testing.T) {
	hidden := func(t *testing.T, p *provider.Provider) string {
		return rawRequest(t, p, "hidden", `{"hidden":1}`, 12)
	}
	head := func(t *testing.T, p *provider.Provider, fields string) string {
		whole := rawRequest(t, p, "msg_1", `{}`, 0)
		return strings.Replace(whole, "Content-Length: 2\r\n", fields, 1)
	}
	tests := map[string]struct {
		status int // of the first answer
		raw    func(t *testing.T, p *provider.Provider) string
	}{
		"both lengths": {401, func(t *testing.T, p *provider.Provider) string {
			body := hidden(t, p)
			return head(t, p, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}},
		"a body that is too large": {413, func(t *testing.T, p *provider.Provider) string {
			return head(t, p, fmt.Sprintf("Content-Length: %d\r\n", 2<<20)) + hidden(t, p)
		}},
		"a chunked one": {413, func(t *testing.T, p *provider.Provider) string {
			return head(t, p, "Transfer-Encoding: chunked\r\n") + "200000\r\n" + strings.Repeat("x", 1<<20+1) + hidden(t, p)
		}},
		"a body that is not read": {400, func(t *testing.T, p *provider.Provider) string {
			body := hidden(t, p)
			return head(t, p, fmt.Sprintf("Webhook-Signature: v1,AAAA\r\nContent-Length: %d\r\n", len(body))) + body
		}},
		"a broken chunk": {400, func(t *testing.T, p *provider.Provider) string {
			return head(t, p, "Transfer-Encoding: chunked\r\n") + "zz\r\n" + hidden(t, p)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				conn := openHook(t, w)
				srv := mock.NewServer(w)
				defer srv.Close()
				raw, in := rawConn(t, srv)
				go io.WriteString(raw, test.raw(t, w.Provider))
				if a, err := http.ReadResponse(in, nil); err != nil || a.StatusCode != test.status {
					t.Errorf("answered %v, %v", a, err)
				}
				go io.Copy(io.Discard, in)
				time.Sleep(time.Minute)
				deliver(t, w, conn, "msg_2", `{"n":2}`) // and nothing before it
				raw.Close()
				synctest.Wait()
			})
		})
	}
}

// TestWebhookPipelined sends several requests before the first answer, one of them forged.
// They are answered in order, and what is refused does not end the others.
func TestPipelined(t *testing.T) {
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

// TestWebhookManyStreams drips into many small bodies on one connection of HTTP/2: they
// count for more than what they have of a body.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		fill := fillBudget(t, w, 47)
		srv := mock.NewServer(w)
		defer srv.Close()
		defer srv.Client().CloseIdleConnections()
		url := strings.Replace(srv.URL, "http:", "https:", 1)
		drip := func(id string) (<-chan *http.Response, *io.PipeWriter) {
			body, feed := io.Pipe()
			req, _ := http.NewRequest(http.MethodPost, url, body)
			req.Header = sign(t, w.Provider, id, `{"n":1}`).Header
			req.ContentLength = 7
			answers := make(chan *http.Response, 1)
			go func() {
				a, err := srv.Client().Do(req)
				if err != nil {
					a = &http.Response{Status: err.Error()}
				} else {
					a.Body.Close()
				}
				answers <- a
			}()
			go io.WriteString(feed, `{"n`)
			synctest.Wait()
			return answers, feed
		}
		first, feed := drip("first")
		defer feed.Close()
		const rest = 62 // of 16 KiB, until three quarters of the budget are taken
		var others []<-chan *http.Response
		for i := range rest {
			a, feed := drip(fmt.Sprint("drip_", i))
			defer feed.Close()
			others = append(others, a)
		}
		unanswered(t, first)
		last, feed := drip("last")
		if a := wantStatus(t, first, 503); a.ProtoMajor != 2 {
			t.Errorf("the first was answered over %s", a.Proto)
		}
		for _, a := range others {
			unanswered(t, a)
		}
		go func() {
			io.WriteString(feed, `":1}`)
			feed.Close()
		}()
		take(t, conn, `{"n":1}`).Settle(nil)
		wantStatus(t, last, 204)
		for _, a := range others {
			wantStatus(t, a, 408)
		}
		fill()
		wantUnverified(t, w, 0, 0)
		time.Sleep(2 * time.Second) // net/http closes the connection in its own time
	})
}

// fillBudget has bodies of 1 MiB stay that cannot be made to leave, until it is called back.
func fillBudget(t *testing.T, w *webhook.Receiver, n int) (empty func()) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	goOn := make(chan struct{})
	var answers []<-chan *http.Response
	for range n {
		slow := &stalled{Reader: bytes.NewReader(body), left: len(body) - 1, goOn: goOn}
		answers = append(answers, post(w, forge(t, w, slow, len(body))))
		synctest.Wait()
	}
	return func() {
		close(goOn)
		for _, a := range answers {
			wantStatus(t, a, 401)
		}
	}
}

// TestWebhookProofWithoutEnd sends proofs that are as large as a server lets a header be.
// They are refused before the body is read, and for next to nothing.
func TestProofWithoutEnd(t *testing.T) {
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

// TestWebhookOddNames has ids and types that nobody expects, signed. They come as they are,
// and what was acknowledged is known by them when it comes again.
func TestOddNames(t *testing.T) {
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

// TestWebhookRepeatedParameters asks with parameters of which one program may take the
// first and another the last: a secret in the URL counts only if it is there once.
func TestRepeatedParameters(t *testing.T) {
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
