package webhook_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// newHook returns a Receiver for Standard Webhooks with a deadline of 10 s.
func newHook() *webhook.Receiver {
	p := provider.StandardWebhooks(secret)
	p.Deadline = 10 * time.Second
	return &webhook.Receiver{Provider: p}
}

// sign returns a delivery of p as it comes in at a server.
func sign(t testing.TB, p *provider.Provider, id, body string) *http.Request {
	t.Helper()
	d := provider.Request{Method: http.MethodPost, URL: "/", Header: http.Header{}, Body: []byte(body), Time: time.Now()}
	if err := p.Sign(&d, id); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Body))
	maps.Copy(r.Header, d.Header)
	return r
}

// post has w answer r on a goroutine of its own.
func post(w *webhook.Receiver, r *http.Request) <-chan *http.Response {
	answers := make(chan *http.Response, 1)
	go func() {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		answers <- rec.Result()
	}()
	return answers
}

// take reads the next event.
func take(t testing.TB, conn *inbox, data string) transport.Message {
	t.Helper()
	m := read(t, conn)
	if string(m.Data) != data {
		t.Fatalf("Data is %q, want %q", m.Data, data)
	}
	return m
}

func wantStatus(t testing.TB, answers <-chan *http.Response, status int) *http.Response {
	t.Helper()
	a := <-answers
	if a.StatusCode != status {
		t.Fatalf("answered %s, want %d", a.Status, status)
	}
	if s, err := strconv.Atoi(a.Header.Get("Retry-After")); status == 503 && (err != nil || s < 1 || s > 60) {
		t.Errorf("503 with Retry-After %q", a.Header.Get("Retry-After"))
	}
	return a
}

// unanswered checks that nothing was answered yet.
func unanswered(t testing.TB, answers <-chan *http.Response) {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-answers:
		t.Fatalf("answered %s too early", a.Status)
	default:
	}
}

func TestAnswersOnceHandled(t *testing.T) {
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

func TestRefusesWhatTheConsumerRefuses(t *testing.T) {
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

func TestDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		first := post(w, sign(t, w.Provider, "msg_1", `{}`))
		m := take(t, conn, `{}`)
		second := post(w, sign(t, w.Provider, "msg_1", `{}`))
		unanswered(t, second)
		m.Settle(nil)
		wantStatus(t, first, 204)
		wantStatus(t, second, 204)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)

		third := post(w, sign(t, w.Provider, "msg_2", `{}`))
		if m := take(t, conn, `{}`); m.ID != "msg_2" {
			t.Errorf("the duplicate was delivered, or not the next one: %q", m.ID)
		} else {
			m.Settle(nil)
		}
		wantStatus(t, third, 204)
	})
}

func TestLate(t *testing.T) {
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

func TestWithoutConn(t *testing.T) {
	w := newHook()
	body := &untouched{}
	r := httptest.NewRequest(http.MethodPost, "/", body)
	wantStatus(t, post(w, r), 503)
	if body.touched {
		t.Error("the body was read although nobody is subscribed")
	}
}

// untouched notes whether it is read.
type untouched struct{ touched bool }

func (u *untouched) Read([]byte) (int, error) { u.touched = true; return 0, io.EOF }

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		taken := post(w, sign(t, w.Provider, "msg_1", `{}`))
		m := take(t, conn, `{}`)
		queued := post(w, sign(t, w.Provider, "msg_2", `{}`))
		synctest.Wait()
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d >= time.Second {
			t.Errorf("Close took %v", d)
		}
		wantStatus(t, taken, 503)
		wantStatus(t, queued, 503)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_3", `{}`)), 503)
		end(conn)
		m.Settle(nil) // too late for the answer, but it is done

		conn = openHook(t, w)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)
		a := post(w, sign(t, w.Provider, "msg_2", `{}`))
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, a, 204)
	})
}

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

func TestGivesTheProvidersAnswers(t *testing.T) {
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
			t.Errorf("body %q", body)
		}
		wantStatus(t, post(w, sign(t, p, "msg_1", `{}`)), 208)

		a = post(w, sign(t, p, "msg_2", `{}`))
		take(t, conn, `{}`)
		wantStatus(t, a, 504)

		a = post(w, sign(t, p, "msg_3", `{}`))
		take(t, conn, `{}`).Settle(errors.New("no"))
		if r := wantStatus(t, a, 429); r.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
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
		t.Errorf("Retry-After has only these values: %v", seen)
	}
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
				t.Errorf("OnRejected was told %q, want %q", text, reason)
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
		m := take(t, conn, `{}`) // in the consumer's hand while the Conn is closed
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

func TestWaitsForTheConsumerDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		m := take(t, conn, `{}`)
		go conn.Close()
		time.Sleep(100 * time.Millisecond)
		m.Settle(nil)
		wantStatus(t, a, 204)
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close waited %v although everything was settled", d)
		}
	})
}

func TestContextEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		ctx, cancel := context.WithCancelCause(t.Context())
		conn, err := listen(ctx, w, 1)
		if err != nil {
			t.Fatal(err)
		}
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		take(t, conn, `{}`)
		cancel(errStop)
		if err := end(conn); !errors.Is(err, errStop) {
			t.Errorf("Read: %v", err)
		}
		wantStatus(t, a, 503)
		conn.Close()
		if _, err := w.Listen(ctx, closedDeliver); !errors.Is(err, errStop) {
			t.Errorf("Open: %v", err)
		}
	})
}

func TestHasOneConn(t *testing.T) {
	w := newHook()
	conn := openHook(t, w)
	if _, err := w.Listen(t.Context(), closedDeliver); retryable(err) != "false" {
		t.Errorf("a second Open: %v", err)
	}
	conn.Close()
	conn.Close()
	openHook(t, w)
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

func TestNeedsTheURLThatIsSigned(t *testing.T) {
	for _, w := range []*webhook.Receiver{
		{Provider: provider.Square("a secret")},
		{Providers: map[string]*provider.Provider{"/a": newHook().Provider, "/b": provider.Square("a secret")}},
	} {
		if err := w.Validate(); err == nil || err.Error() != "Receiver.URL: is required: square signs it" {
			t.Errorf("without a URL: %v", err)
		}
		w.URL = "https://hooks.example"
		if err := w.Validate(); err != nil {
			t.Errorf("with one: %v", err)
		}
	}
}

func TestPromisesNothingThatMayBeLost(t *testing.T) {
	for name, answers := range map[string]provider.Answers{
		"late": {Late: provider.Answer{Status: 202}},
		"busy": {Busy: provider.Answer{Status: 200}},
	} {
		w := newHook()
		w.Provider.Answers = answers
		if err := w.Validate(); err == nil || !strings.HasPrefix(err.Error(), "Receiver.Provider: Answers.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	w := &webhook.Receiver{
		Providers: map[string]*provider.Provider{"hooks": nil},
		Provider:  provider.GitHub(""),
		URL:       "http://host/?query", Ack: 9, MaxBody: -1, Addr: "nonsense",
	}
	err := w.Validate()
	if err == nil {
		t.Fatal("Validate found nothing")
	}
	for _, field := range []string{"Provider", "Providers", `Providers["hooks"]`, "URL", "Ack", "MaxBody", "Addr"} {
		if !strings.Contains(err.Error(), "Receiver."+field+": ") {
			t.Errorf("%s is not named in:\n%v", field, err)
		}
	}
	if strings.Contains(err.Error(), "query") && strings.Contains(err.Error(), "?query") {
		t.Error("the query is in the text")
	}
	if _, err := w.Listen(context.Background(), closedDeliver); retryable(err) != "false" {
		t.Errorf("Open: %v", err)
	}
}

// Options that would be ignored, or could never match, are reported.
func TestValidateCombinations(t *testing.T) {
	p := newHook().Provider
	for field, w := range map[string]*webhook.Receiver{
		"DedupeFor":                  {Provider: p, Dedupe: -1, DedupeFor: time.Hour},
		`Providers["/in?x=1"]`:       {Providers: map[string]*provider.Provider{"/in?x=1": p}},
		`Providers["/hooks/{name}"]`: {Providers: map[string]*provider.Provider{"/hooks/{name}": p}},
		"TLS":                        {Provider: p, TLS: &tls.Config{}},
	} {
		if err := w.Validate(); err == nil || !strings.HasPrefix(err.Error(), "Receiver."+field+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (&webhook.Receiver{Provider: p, Dedupe: -1, DedupeFor: -1}).Validate(); err != nil {
		t.Error(err)
	}
}
