package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
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

// TestFraming sends requests that one program could read as one request and another as two. What is
// hidden in a body is never taken for a request, even if it is signed.
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
					t.Errorf("got answer %v, %v, want status %d", a, err, test.status)
				}
				go io.Copy(io.Discard, in)
				time.Sleep(time.Minute)
				deliver(t, w, conn, "msg_2", `{"n":2}`) // the first event
				raw.Close()
				synctest.Wait()
			})
		})
	}
}

// counted is an endless body that counts the bytes read of it.
type counted struct{ n atomic.Int64 }

func (c *counted) Read(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// pieces is a body that arrives one byte at a time.
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
					t.Error("got an open connection with the rest of the body in it, want it closed")
				}
				if unread.touched {
					t.Error("got the body read although it is announced too large, want it unread")
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
			t.Errorf("got %d bytes read of a body above 1 MiB, want at most 3 MiB", n)
		}
	})
}

// The largest MaxBody allows any body.
func TestLargestMaxBodyAllowsAnyBody(t *testing.T) {
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

func TestContentLengthTakesNoMemory(t *testing.T) {
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
		t.Errorf("got %d bytes allocated for a body of three, want at most 1 MiB", n)
	}
}

// A forged body allocates nothing that depends on its size.
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
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 3000 { // with the race detector, a pool drops some buffers
		t.Errorf("got %d bytes allocated for a forged body of 4000, want at most 3000", each)
	}
}

// A body that a handler before the Receiver has read is not the sender's fault, so the answer asks
// for a repetition, and OnRejected names the reason. A Token does not depend on the body, so an
// empty one would be delivered.
func TestBodyReadBeforeTheReceiver(t *testing.T) {
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
					var rejected error
					w.OnRejected = func(e *webhook.RejectedError) { rejected = e }
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
					if rejected == nil || !strings.Contains(rejected.Error(), test.want+": a handler around the Receiver read or replaced the body") {
						t.Errorf("%s, %s: OnRejected: got %v, want one with %q", name, p.Name, rejected, test.want)
					}
				})
			}
		}
	}
}

func TestDataIsNotReused(t *testing.T) {
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
				t.Fatalf("event %d: got %q, want it unchanged", i, m.Data)
			}
		}
	})
}

func TestDataHasNoSpareCapacity(t *testing.T) {
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
			t.Error("Data: got spare capacity, want none")
		}
		m.Settle(nil)
		wantStatus(t, a, 204)
	})
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
			t.Errorf("got %s after %v, close %v, want 408 after 10s, true", a.Status, d, a.Close)
		}
		time.Sleep(time.Second) // net/http takes half of it to close the connection
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
			t.Errorf("got %s %s after %v, want HTTP/2.0 408 after 10s", a.Proto, a.Status, d)
		}
		deliver(t, w, conn, "msg_1", `{"n":1}`)
		time.Sleep(2 * time.Second) // net/http closes the connection later
	})
}

func TestBodyBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		var rejected error
		w.OnRejected = func(e *webhook.RejectedError) { rejected = e }
		srv := mock.NewServer(w)
		defer srv.Close()
		raw, _ := rawConn(t, srv)
		io.WriteString(raw, rawRequest(t, w.Provider, "msg_1", `{"n":1}`, 3))
		synctest.Wait()
		raw.Close()
		synctest.Wait()
		if rejected == nil || !strings.Contains(rejected.Error(), "reading the request body failed") {
			t.Errorf("OnRejected: got %v, want a failed read of the body", rejected)
		}
		deliver(t, w, conn, "msg_1", `{"n":1}`)
	})
}

// The deadline of one request does not apply to the next one on the same connection.
func TestConnectionIsReused(t *testing.T) {
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
				t.Errorf("request %d: got %s, close %v, want 503 after its deadline, false", i, a.Status, a.Close)
			}
			time.Sleep(time.Minute)
		}
	})
}

// The server's timeouts are for slow peers, not for the consumer.
func TestWaitOutlastsServerTimeouts(t *testing.T) {
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
			t.Errorf("got %v, %v, want status 204", a, err)
		}
	})
}

// A refusal does not wait for the rest of a body that is too large.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
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
			t.Errorf("got %s, want 413", a.Status)
		}
		if n := body.n.Load(); n > 1<<20 {
			t.Errorf("got %d bytes taken, want at most 1 MiB", n)
		}
		srv.Client().CloseIdleConnections()
		time.Sleep(time.Second) // net/http takes half of it to close the connection
	})
}

// A request that is answered without its body must not keep the connection open while the body
// arrives one byte at a time.
func TestUnreadSlowBodyEndsTheConnection(t *testing.T) {
	for name, line := range map[string]string{
		"of an unknown path": "POST /other HTTP/1.1",
		"of a handshake":     "GET /in?challenge=abc HTTP/1.1",
		"of another method":  "PUT /in HTTP/1.1",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/in": provider.Dropbox("a secret")}}
				_, network, _ := ownListener(t, w)
				conn, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "%s\r\nHost: hooks.test\r\nContent-Length: 1000\r\n\r\n", line)
				wantDrippingEnds(t, conn)
			})
		})
	}
}

// A body that is refused for its size must not keep the connection open while the rest arrives one
// byte at a time.
func TestOversizedSlowBodyEndsTheConnection(t *testing.T) {
	for name, framing := range map[string]string{
		"announced": "Content-Length: 1000\r\n\r\n",
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefg\r\nff\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: provider.Dropbox("a secret"), MaxBody: 16}
				_, network, _ := ownListener(t, w)
				conn, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
				if err != nil {
					t.Fatal(err)
				}
				signature := strings.Repeat("0", 64)
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: hooks.test\r\nX-Dropbox-Signature: %s\r\n%s", signature, framing)
				wantDrippingEnds(t, conn)
			})
		})
	}
}

// wantDrippingEnds writes to conn until the receiver has closed it.
func wantDrippingEnds(t *testing.T, conn net.Conn) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.ReadAll(conn)
	}()
	for range 30 {
		io.WriteString(conn, "x")
		time.Sleep(time.Second)
	}
	select {
	case <-ended:
	default:
		t.Error("got an open connection after half a minute, want it closed")
	}
	conn.Close()
	<-ended
}
