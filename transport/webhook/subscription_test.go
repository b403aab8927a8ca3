package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		sub := subscribe(t, w, nil)
		a := post(w, sign(t, w.Provider, "msg_1", `{"type":"ping"}`))
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.ID != "msg_1" || ev.Type != "ping" || ev.Delivery.Header.Get("Webhook-Id") != "msg_1" || ev.Gap != nil {
				t.Errorf("got event %+v, want msg_1 of type ping without a gap", ev)
			}
			unanswered(t, a) // the body is not finished
			go sub.Close()
			synctest.Wait()
		}
		wantStatus(t, a, 204)
	})
}

func TestSubscriptionNacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		sub := subscribe(t, w, nil)
		for _, err := range []error{errors.New("no"), nil} {
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			ev, nextErr := sub.Next(t.Context())
			if nextErr != nil {
				t.Fatal(nextErr)
			}
			if err != nil {
				ev.Nack(err)
				wantStatus(t, a, 503)
			} else {
				ev.Ack()
				wantStatus(t, a, 204)
			}
		}
	})
}

// An event whose body panics is delivered again.
func TestSubscriptionPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		sub := subscribe(t, w, nil)
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		func() {
			defer func() { recover() }()
			for range sub.Events() {
				panic("a mistake in the consumer")
			}
		}()
		unanswered(t, a)
		ev, err := sub.Next(t.Context())
		if err != nil || ev.ID != "msg_1" {
			t.Fatalf("got %+v, %v, want msg_1", ev, err)
		}
		ev.Ack()
		wantStatus(t, a, 204)
	})
}

func TestSubscriptionSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		subscribe(t, w, &client.Options{Skip: func(ev client.Event) bool { return ev.Type == "ping" }})
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{"type":"ping"}`)), 204)
	})
}

func TestSubscriptionIsFull(t *testing.T) {
	for _, ack := range []webhook.AckMode{webhook.AckAfterHandling, webhook.AckOnEnqueue} {
		t.Run(fmt.Sprint(ack), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				w.Ack = ack
				sub := subscribe(t, w, &client.Options{Buffer: 3})
				var answers []<-chan *http.Response
				for i := range 4 {
					answers = append(answers, post(w, sign(t, w.Provider, fmt.Sprint("msg_", i), `{}`)))
					synctest.Wait()
				}
				wantStatus(t, answers[3], 503)
				for range 3 {
					ev, err := sub.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					ev.Ack()
				}
				for _, a := range answers[:3] {
					wantStatus(t, a, 204)
				}
				again := post(w, sign(t, w.Provider, "msg_3", `{}`))
				ev, _ := sub.Next(t.Context())
				ev.Ack()
				wantStatus(t, again, 204)
			})
		})
	}
}

// An event that is in the window survives a reconnect, and its acknowledgement counts.
func TestSubscriptionReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		sub := subscribe(t, w, nil)
		a := post(w, sign(t, w.Provider, "msg_1", `{}`))
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sub.Reconnect()
		wantStatus(t, a, 503)
		ev.Ack()
		time.Sleep(time.Second)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)
		a = post(w, sign(t, w.Provider, "msg_2", `{}`))
		if ev, err = sub.Next(t.Context()); err != nil || ev.ID != "msg_2" || ev.Gap != nil {
			t.Errorf("got %+v, %v, want msg_2 without a gap", ev, err)
		}
		ev.Ack()
		wantStatus(t, a, 204)
	})
}

// A consumer that never fails gets each delivery exactly once.
func TestSubscriptionGetsEachDeliveryOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: provider.StandardWebhooks(secret)}
		w.Provider.Deadline = time.Second
		srv := mock.NewServer(w)
		sub := subscribe(t, w, &client.Options{Buffer: 5})
		const senders, each = 40, 10
		var sending sync.WaitGroup
		for s := range senders {
			sending.Go(func() {
				for i := range each {
					id := fmt.Sprintf("msg_%d_%d", s, i)
					for (<-send(t, w, srv.Client(), srv.URL, id, `{}`)).StatusCode != 204 {
						time.Sleep(3 * time.Second)
					}
				}
			})
		}
		go func() { sending.Wait(); sub.Close() }()
		seen := make(map[string]int)
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			seen[ev.ID]++
			time.Sleep(100 * time.Millisecond)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s was delivered %d times, want once", id, n)
			}
		}
		if len(seen) != senders*each {
			t.Errorf("got %d events, want %d", len(seen), senders*each)
		}
		srv.Client().CloseIdleConnections()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
}
