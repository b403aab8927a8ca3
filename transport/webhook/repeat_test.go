package webhook_test

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestWebhookRepeatWithoutID repeats deliveries of senders that give no id which can be
// trusted, as those do: with what is of the attempt changed.
func TestRepeatWithoutID(t *testing.T) {
	for name, c := range map[string]struct {
		provider            *provider.Provider
		first, again, other string
	}{
		"meta": {
			provider.Meta("verify", "a secret"),
			`{"entry":[{"id":"1","time":1}]}`, `{"entry":[{"id":"1","time":1}]}`, `{"entry":[{"id":"1","time":2}]}`,
		},
		"x": {
			provider.X("a secret"),
			`{"follow_events":[{"at":1}]}`, `{"follow_events":[{"at":1}]}`, `{"follow_events":[{"at":2}]}`,
		},
		"discord": { // an interaction has an id, and a webhook event the time at which it was
			provider.Discord(edPEM(t)),
			`{"type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"1"}}`,
			`{"type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"1"}}`,
			`{"type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"2"}}`,
		},
		"zoom": {
			provider.Zoom("a secret"),
			`{"event":"meeting.started","event_ts":1}`, `{"event":"meeting.started","event_ts":1}`, `{"event":"meeting.started","event_ts":2}`,
		},
		"hubspot": {
			provider.HubSpot("a secret"),
			`[{"eventId":1,"attemptNumber":0}]`, `[{"eventId":1,"attemptNumber": 10}]`, `[{"eventId":2,"attemptNumber":0}]`,
		},
		"linear": { // whose time is written by sign
			provider.Linear("a secret"),
			`{"type":"Issue","data":{"id":"1"}}`, `{"type":"Issue","data":{"id":"1"}}`, `{"type":"Issue","data":{"id":"2"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.provider.Deadline = time.Second
				w := &webhook.Receiver{Provider: c.provider}
				if name == "hubspot" {
					w.URL = "https://hooks.example/in"
				}
				conn := openHook(t, w)
				late := post(w, signAt(t, w, c.first))
				m := read(t, conn)
				time.Sleep(time.Second)
				wantStatus(t, late, 503)

				inHand := post(w, signAt(t, w, c.again))
				unanswered(t, inHand)
				m.Settle(nil)
				want2xx(t, inHand)
				time.Sleep(time.Minute)
				want2xx(t, post(w, signAt(t, w, c.again)))

				a := post(w, signAt(t, w, c.other))
				read(t, conn).Settle(nil)
				want2xx(t, a)
			})
		})
	}
}

// signAt is sign for a Receiver with a URL.
func signAt(t *testing.T, w *webhook.Receiver, body string) *http.Request {
	t.Helper()
	d := provider.Request{Method: http.MethodPost, URL: cmp.Or(w.URL, "/"), Body: []byte(body), Time: time.Now()}
	if err := w.Provider.Sign(&d, ""); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Body))
	maps.Copy(r.Header, d.Header)
	return r
}

func want2xx(t *testing.T, answers <-chan *http.Response) {
	t.Helper()
	if a := <-answers; a.StatusCode/100 != 2 {
		t.Fatalf("answered %s", a.Status)
	}
}

// edPEM returns a private key of Ed25519.
func edPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Attempt counts how often a delivery was handed out: a sender repeats what was refused, or
// what a Conn that ended left open. Joining an event in hand is no attempt.
func TestCountsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		next := func(id string, want int) transport.Message {
			t.Helper()
			m := take(t, conn, `{}`)
			if m.Attempt != want {
				t.Errorf("%s: Attempt is %d, want %d", id, m.Attempt, want)
			}
			return m
		}
		for n := range 3 {
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			next("refused", n+1).Settle(errors.New("no"))
			wantStatus(t, a, 503)
		}
		a := post(w, sign(t, w.Provider, "msg_2", `{}`))
		next("another", 1).Settle(nil)
		wantStatus(t, a, 204)

		a = post(w, sign(t, w.Provider, "msg_1", `{}`))
		m := next("refused", 4)
		wantStatus(t, a, 503) // too late
		a = post(w, sign(t, w.Provider, "msg_1", `{}`))
		synctest.Wait()
		m.Settle(errors.New("no"))
		wantStatus(t, a, 503)
		a = post(w, sign(t, w.Provider, "msg_1", `{}`))
		next("refused after it was late", 5)
		conn.Close()
		wantStatus(t, a, 503)

		conn = openHook(t, w)
		a = post(w, sign(t, w.Provider, "msg_1", `{}`))
		next("after Close", 6).Settle(nil)
		wantStatus(t, a, 204)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Dedupe = -1
		conn := openHook(t, w)
		for range 2 {
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			m := take(t, conn, `{}`)
			if m.Attempt != 1 {
				t.Errorf("without Dedupe: Attempt is %d", m.Attempt)
			}
			m.Settle(errors.New("no"))
			wantStatus(t, a, 503)
		}
	})
}

// The count of the sender is taken where it is higher, such as after a restart.
func TestTakesTheSendersCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: provider.Bitbucket("a secret of some length")}
		conn := openHook(t, w)
		for _, c := range []struct {
			header string
			want   int
		}{{"3", 3}, {"", 2}, {"1", 3}, {"9", 9}} {
			r := sign(t, w.Provider, "d1", `{}`)
			if c.header != "" {
				r.Header.Set("X-Attempt-Number", c.header)
			}
			a := post(w, r)
			m := take(t, conn, `{}`)
			if m.Attempt != c.want {
				t.Errorf("%q: Attempt is %d, want %d", c.header, m.Attempt, c.want)
			}
			m.Settle(errors.New("no"))
			wantStatus(t, a, 503)
		}
	})
}

// The events of a batch that were acknowledged are not handed out again, the others are with
// the count of the batch.
func TestCountsAttemptsOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		sub := subscribe(t, w, nil)
		for n := range 3 {
			a := post(w, sign(t, w.Provider, "msg_1", `[{"id":"a"},{"id":"b"}]`))
			for _, id := range []string{"a", "b"}[min(n, 1):] {
				ev, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if ev.ID != id || ev.Attempt != n+1 {
					t.Errorf("event %s, Attempt %d, want %s, %d", ev.ID, ev.Attempt, id, n+1)
				}
				if id == "b" && n < 2 {
					ev.Nack(errors.New("no"))
				} else {
					ev.Ack()
				}
			}
			wantStatus(t, a, map[bool]int{true: 204, false: 503}[n == 2])
		}
	})
}

// The memory of attempts is bounded: the oldest count begins again.
func TestCountsOfAttemptsAreBounded(t *testing.T) {
	var a webhook.Attempts
	a.Bound(2)
	key := func(n uint64) [2]uint64 { return [2]uint64{n, 1} }
	for _, n := range []uint64{1, 1, 2, 3, 3} {
		a.Add(key(n))
	}
	if got := []int{a.Of(key(1)), a.Of(key(2)), a.Of(key(3))}; !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("counts %v", got)
	}
	a.Forget(key(3))
	for n := range uint64(100) {
		a.Add(key(n))
	}
	if a.Of(key(99)) != 1 || a.Of(key(3)) != 0 || a.Len() > 2 {
		t.Errorf("counts %d and %d of %d", a.Of(key(99)), a.Of(key(3)), a.Len())
	}
}
