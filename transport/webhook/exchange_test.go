package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
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
			t.Errorf("got id %q, type %q, token %q, want msg_1, user.created and none", m.ID, m.Type, m.Token)
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

		// The id can be delivered again.
		a = post(w, sign(t, w.Provider, "msg_1", `{}`))
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, a, 204)
	})
}

func TestSettleAfterTheDeadlineAnswersTheRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Provider.Deadline = 3 * time.Second
		conn := openHook(t, w)
		start := time.Now()
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		m := take(t, conn, `{}`)
		wantStatus(t, a, 503)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("got the answer after %v, want 3s", d)
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
		t.Error("got the body read without a subscription, want it unread")
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
			t.Error("got a Settle for an answered message, want none")
		}
		wantStatus(t, post(w, sign(t, w.Provider, "msg_2", `{"n":2}`)), 204)
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v for an event that is not settled, want none", d)
		}
		conn = openHook(t, w)
		for _, id := range []string{"msg_1", "msg_2"} {
			wantStatus(t, post(w, sign(t, w.Provider, id, `{}`)), 204)
		}
		if n := len(conn.queue); n != 0 {
			t.Errorf("got %d events again, want none", n)
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
				t.Error("got the body read, want it unread")
			}
			if text := why[len(why)-1].Error(); !strings.Contains(text, reason) {
				t.Errorf("OnRejected: got %q, want %q", text, reason)
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
		first.Settle(nil) // of the previous attempt
		unanswered(t, a)
		conn.Close()
		wantStatus(t, a, 503)
	})
}

// expecting returns the head of a request whose sender waits for 100 Continue.
func expecting(t *testing.T, p *provider.Provider, target string, length int, more string) string {
	head := rawRequest(t, p, "msg_1", `{"n":1}`, 0)
	head = strings.Replace(head, "POST / ", "POST "+target+" ", 1)
	head = strings.Replace(head, "Content-Length: 7", fmt.Sprint("Content-Length: ", length), 1)
	return strings.TrimSuffix(head, "\r\n") + more + "Expect: 100-continue\r\n\r\n"
}

// A request whose header is unacceptable is refused without 100 Continue, so its sender
// does not send the body.
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
		"compressed":     {415, "/", 7, "Content-Encoding: gzip\r\n", nil},
		"two signatures": {400, "/", 7, "Webhook-Signature: v1,AAAA\r\n", nil},
		"another path":   {404, "/other", 7, "", nil},
		"closed":         {503, "/", 7, "", func(_ *webhook.Receiver, conn *inbox) { conn.Close() }},
		"handshake": {200, "/?validationToken=abc", 7, "", func(w *webhook.Receiver, _ *inbox) {
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
					t.Errorf("got %q, %v, want %s", line, err, want)
				}
				raw.Close()
				time.Sleep(time.Minute) // until the server notices
			})
		})
	}
}

// Requests that are sent before the first answer are answered in order, and a refused one does not
// end the connection.
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
				t.Errorf("got %v, %v, want %d", a, err, status)
			}
		}
		raw.Close()
		synctest.Wait()
	})
}

// Each request has its own deadline, whatever the earlier ones had.
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
			t.Errorf("got %s after %v, want an error within 1s", a.Status, time.Since(start))
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

func TestOtherMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		openHook(t, w)
		for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS", "DELETE"} {
			if a := wantStatus(t, post(w, httptest.NewRequest(method, "/", nil)), 405); a.Header.Get("Allow") != "POST" {
				t.Errorf("%s: got Allow %q, want POST", method, a.Header.Get("Allow"))
			}
		}
		w.Provider.Handshake = func(r *provider.Request) (*provider.Answer, bool) {
			return &provider.Answer{Status: 200, Body: []byte(r.URL)}, r.Method == http.MethodGet
		}
		a := wantStatus(t, post(w, httptest.NewRequest("GET", "/?challenge=x", nil)), 200)
		if body, _ := io.ReadAll(a.Body); string(body) != "/?challenge=x" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("got body %q and header %v, want the query and nosniff", body, a.Header)
		}
	})
}
