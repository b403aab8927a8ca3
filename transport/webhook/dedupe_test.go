package webhook_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

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
			t.Errorf("got event %q, want msg_2", m.ID)
		} else {
			m.Settle(nil)
		}
		wantStatus(t, third, 204)
	})
}

func TestDeliveryIdentity(t *testing.T) {
	tests := map[string]func(t *testing.T){
		"a signed id is enough": func(t *testing.T) {
			w := newHook()
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{"pending":2}`)
			repeat(t, w, "msg_1", `{"pending":1}`)
		},
		"an unsigned id counts together with its body": func(t *testing.T) {
			w := &webhook.Receiver{Provider: provider.GitHub("a secret")}
			conn := openHook(t, w)
			deliver(t, w, conn, "1", `{"n":1}`)
			repeat(t, w, "1", `{"n":1}`)
			deliver(t, w, conn, "1", `{"n":2}`)
			deliver(t, w, conn, "2", `{"n":1}`)
		},
		"without any id an equal body is a new event": func(t *testing.T) {
			w := &webhook.Receiver{Provider: noID()}
			conn := openHook(t, w)
			deliver(t, w, conn, "", `{"n":1}`)
			deliver(t, w, conn, "", `{"n":1}`)
			deliver(t, w, conn, "", `{"n":2}`)
		},
		"without a delivery id the ids of its events count": func(t *testing.T) {
			p := noID()
			p.Payload = provider.Payload{ID: provider.Source{Path: []string{"n"}}}
			w := &webhook.Receiver{Provider: p}
			conn := openHook(t, w)
			deliver(t, w, conn, "", `{"n":1}`)
			repeat(t, w, "", `{"n":1}`)
			deliver(t, w, conn, "", `{"n":2}`)
		},
		"ids of events in the header distinguish equal bodies": func(t *testing.T) {
			w := &webhook.Receiver{Provider: provider.CloudEvents(nil, "a secret")}
			conn := openHook(t, w)
			send := func(id string) <-chan *http.Response {
				r := sign(t, w.Provider, "", `{"up":true}`)
				r.Header.Set("Ce-Source", "/sensor")
				r.Header.Set("Ce-Id", id)
				return post(w, r)
			}
			for _, id := range []string{"1", "2"} {
				a := send(id)
				take(t, conn, `{"up":true}`).Settle(nil)
				wantStatus(t, a, 204)
			}
			wantStatus(t, send("1"), 204)
		},
		"memory ends after DedupeFor": func(t *testing.T) {
			w := newHook()
			w.DedupeFor = time.Hour
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			time.Sleep(time.Hour - 1)
			repeat(t, w, "msg_1", `{}`)
			time.Sleep(time.Nanosecond)
			deliver(t, w, conn, "msg_1", `{}`)
		},
		"the newest Dedupe deliveries are remembered": func(t *testing.T) {
			w := newHook()
			w.Dedupe = 10
			conn := openHook(t, w)
			for i := range 100 {
				deliver(t, w, conn, fmt.Sprint("msg_", i), `{}`)
			}
			for i := 90; i < 100; i++ {
				repeat(t, w, fmt.Sprint("msg_", i), `{}`)
			}
			deliver(t, w, conn, "msg_89", `{}`)
		},
		"a second acknowledgement renews the memory": func(t *testing.T) {
			w := newHook()
			w.Dedupe = 2
			conn := openHook(t, w)
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			m := take(t, conn, `{}`)
			conn.Close()
			wantStatus(t, a, 503)
			conn = openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			time.Sleep(time.Second)
			m.Settle(nil)
			deliver(t, w, conn, "msg_2", `{}`)
			repeat(t, w, "msg_1", `{}`)
		},
		"no memory": func(t *testing.T) {
			w := newHook()
			w.Dedupe = -1
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			first, second := post(w, sign(t, w.Provider, "msg_1", `{}`)), post(w, sign(t, w.Provider, "msg_1", `{}`))
			take(t, conn, `{}`).Settle(nil)
			take(t, conn, `{}`).Settle(nil)
			wantStatus(t, first, 204)
			wantStatus(t, second, 204)
		},
		"memory outlives a Listener": func(t *testing.T) {
			w := newHook()
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			conn.Close()
			openHook(t, w)
			repeat(t, w, "msg_1", `{}`)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

func TestDuplicatesAllAtOnce(t *testing.T) {
	for name, err := range map[string]error{"acknowledged": nil, "refused": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				conn := openHook(t, w)
				var answers []<-chan *http.Response
				for range 100 {
					answers = append(answers, post(w, sign(t, w.Provider, "msg_1", `{}`)))
				}
				m := take(t, conn, `{}`)
				synctest.Wait()
				m.Settle(err)
				status := map[bool]int{true: 204, false: 503}[err == nil]
				for _, a := range answers {
					wantStatus(t, a, status)
				}
				deliver(t, w, conn, "msg_2", `{}`) // and not the same one again
			})
		})
	}
}

// The maximum DedupeFor does not overflow.
func TestDedupeForWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.DedupeFor = math.MaxInt64
		conn := openHook(t, w)
		time.Sleep(time.Hour)
		deliver(t, w, conn, "msg_1", `{}`)
		time.Sleep(24 * time.Hour)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)
	})
}

// TestRepeatWithoutID repeats deliveries that have no signed id, with those parts changed that
// differ between attempts.
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

// Attempt counts the deliveries of an event: a sender repeats what was refused, or what a Listener
// that ended left unsettled. A request that waits for an unsettled event is no attempt.
func TestAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		next := func(id string, want int) transport.Message {
			t.Helper()
			m := take(t, conn, `{}`)
			if m.Attempt != want {
				t.Errorf("%s: got Attempt %d, want %d", id, m.Attempt, want)
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
				t.Errorf("without Dedupe: got Attempt %d, want 1", m.Attempt)
			}
			m.Settle(errors.New("no"))
			wantStatus(t, a, 503)
		}
	})
}

// The sender's count is used if it is higher, for example after a restart.
func TestAttemptOfTheSender(t *testing.T) {
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
				t.Errorf("%q: got Attempt %d, want %d", c.header, m.Attempt, c.want)
			}
			m.Settle(errors.New("no"))
			wantStatus(t, a, 503)
		}
	})
}

// The acknowledged events of a batch are not delivered again, the others have the count of the
// batch.
func TestAttemptOfBatches(t *testing.T) {
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
					t.Errorf("got event %s, Attempt %d, want %s, %d", ev.ID, ev.Attempt, id, n+1)
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

// The memory of attempts is bounded: the oldest count is dropped.
func TestAttemptsAreBounded(t *testing.T) {
	var a webhook.Attempts
	a.Bound(2)
	key := func(n uint64) [2]uint64 { return [2]uint64{n, 1} }
	for _, n := range []uint64{1, 1, 2, 3, 3} {
		a.Add(key(n))
	}
	if got := []int{a.Of(key(1)), a.Of(key(2)), a.Of(key(3))}; !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("got counts %v, want 0, 1, 2", got)
	}
	a.Forget(key(3))
	for n := range uint64(100) {
		a.Add(key(n))
	}
	if a.Of(key(99)) != 1 || a.Of(key(3)) != 0 || a.Len() > 2 {
		t.Errorf("got counts %d and %d of %d, want 1 and 0 of at most 2", a.Of(key(99)), a.Of(key(3)), a.Len())
	}
}
