package webhook_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

// Drain lets Read go on until everything that was taken in is settled.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		inHand := post(w, sign(t, w.Provider, "msg_1", `1`))
		m := take(t, conn, `1`)
		queued := post(w, sign(t, w.Provider, "msg_2", `[2,3]`))
		synctest.Wait()
		w.Drain()
		wantStatus(t, post(w, sign(t, w.Provider, "msg_4", `4`)), 503)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `1`)), 503)
		next := take(t, conn, `[2,3]`)
		next.Settle(nil)
		wantStatus(t, queued, 204)

		ended := make(chan error, 1)
		go func() {
			_, err := conn.next()
			ended <- err
		}()
		time.Sleep(time.Hour) // its request was answered long ago, and the consumer still has it
		wantStatus(t, inHand, 503)
		select {
		case err := <-ended:
			t.Fatalf("%v before all is settled", err)
		default:
		}
		m.Settle(nil)
		if err := <-ended; !errors.Is(err, transport.ErrComplete) {
			t.Fatalf("Read: %v", err)
		}
		if err := end(conn); !errors.Is(err, transport.ErrComplete) {
			t.Errorf("and then: %v", err)
		}
		start := time.Now()
		conn.Close()
		if time.Since(start) > 0 {
			t.Errorf("Close waited %v for nothing", time.Since(start))
		}

		conn = openHook(t, w)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_4", `4`)), 503)
		if err := end(conn); !errors.Is(err, transport.ErrComplete) {
			t.Errorf("Read of a later Conn: %v", err)
		}
	})
}

// A subscription that is drained works off all that was answered, and ends without an error.
func TestDrainsSubscription(t *testing.T) {
	for _, ack := range []webhook.AckMode{webhook.AckAfterHandling, webhook.AckOnEnqueue} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			w.Ack = ack
			sub := subscribe(t, w, nil)
			var answers []<-chan *http.Response
			for _, id := range []string{"a", "b", "c", "d"} {
				answers = append(answers, post(w, sign(t, w.Provider, id, `{}`)))
				synctest.Wait()
			}
			slow, rest := io.Pipe()
			r := sign(t, w.Provider, "slow", `{}`)
			r.Body = slow
			late := post(w, r)
			time.AfterFunc(time.Second, w.Drain) // while the first is worked on
			var got []string
			for ev, err := range sub.Events() {
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				got = append(got, ev.ID)
				if ev.ID == "b" {
					io.WriteString(rest, `{}`)
					rest.Close()
					wantStatus(t, late, 503)
					wantStatus(t, post(w, sign(t, w.Provider, "e", `{}`)), 503)
				}
			}
			if want := []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
				t.Errorf("mode %v: got %q, want %q", ack, got, want)
			}
			for _, a := range answers {
				wantStatus(t, a, 204)
			}
		})
	}
}

// Drain counts whenever it is called: before the first Conn, between two, while one is being
// opened or closed, and while the address is still in use.
func TestDrainsBetweenConns(t *testing.T) {
	for _, after := range []time.Duration{0, 1, 50, 199, 200, 201, 400, 2000} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			sub := subscribe(t, w, nil)
			inHand := post(w, sign(t, w.Provider, "a", `{}`))
			ev, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sub.Reconnect() // closing the Conn takes 200 ms, because of the event in hand
			time.Sleep(after * time.Millisecond)
			w.Drain()
			time.Sleep(time.Second)
			wantStatus(t, inHand, 503)
			wantStatus(t, post(w, sign(t, w.Provider, "b", `{}`)), 503)
			ev.Ack()
			if _, err := sub.Next(t.Context()); err != io.EOF {
				t.Errorf("Drain %d ms after Reconnect: %v", after, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Drain()
		if _, err := subscribe(t, w, nil).Next(t.Context()); err != io.EOF {
			t.Errorf("Drain before Subscribe: %v", err)
		}
	})
}

// A Conn that replaces another one loses nothing that the sender cannot repeat: Drain ends
// the feed cleanly whether an event has come or not.
func TestDrainsAfterReconnect(t *testing.T) {
	for _, id := range []string{"", "a"} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			sub := subscribe(t, w, nil)
			if id != "" {
				answer := post(w, sign(t, w.Provider, id, `{}`))
				ev, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ev.Ack()
				wantStatus(t, answer, 204)
			}
			sub.Reconnect()
			time.Sleep(time.Second)
			w.Drain()
			if _, err := sub.Next(t.Context()); err != io.EOF {
				t.Errorf("the end: %v", err)
			}
			if n := sub.Stats().Gaps; n != 0 {
				t.Errorf("%d gaps", n)
			}
		})
	}
}

// Reconnect changes nothing once the feed is complete: the receiver goes on refusing until the
// consumer has handled what it has.
func TestReconnectWhileItLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Ack = webhook.AckOnEnqueue
		var refused []error
		w.OnRejected = func(e *webhook.RejectedError) { refused = append(refused, e) }
		sub := subscribe(t, w, nil)
		wantStatus(t, post(w, sign(t, w.Provider, "a", `{}`)), 204)
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.Drain()
		synctest.Wait()
		sub.Reconnect()
		time.Sleep(time.Second)
		wantStatus(t, post(w, sign(t, w.Provider, "b", `{}`)), 503)
		if len(refused) != 1 || !strings.Contains(refused[0].Error(), "draining") {
			t.Errorf("refused: %v", refused)
		}
		ev.Ack()
		time.Sleep(time.Second)
		wantStatus(t, post(w, sign(t, w.Provider, "c", `{}`)), 503)
		if len(refused) != 2 || !strings.Contains(refused[1].Error(), "no Listener") {
			t.Errorf("refused: %v", refused)
		}
	})
}

func TestDrainsWhileTheAddressIsInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newHook()
	w.Addr = l.Addr().String()
	w.Drain()
	if _, err := w.Listen(t.Context(), closedDeliver); !errors.Is(err, transport.ErrComplete) {
		t.Errorf("Open: %v", err)
	}
}

// The listener of a Receiver that is drained refuses until the consumer has handled all that
// was answered, and is closed then.
func TestDrainKeepsListening(t *testing.T) {
	for _, ack := range []webhook.AckMode{webhook.AckAfterHandling, webhook.AckOnEnqueue} {
		synctest.Test(t, func(t *testing.T) {
			network := new(mock.Network)
			defer network.Close()
			l, err := network.Listen("hooks.test:80")
			if err != nil {
				t.Fatal(err)
			}
			w := newHook()
			w.Ack, w.Listener = ack, l
			client := &http.Client{Transport: &http.Transport{DialContext: network.Dial, DisableKeepAlives: true}}
			sub := subscribe(t, w, nil)
			first := send(t, w, client, hooksURL, "a", `{}`)
			synctest.Wait()
			second := send(t, w, client, hooksURL, "b", `{}`)
			synctest.Wait()
			w.Drain()
			for ev, err := range sub.Events() {
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				wantStatus(t, send(t, w, client, hooksURL, "c", `{}`), 503)
				ev.Ack()
			}
			wantStatus(t, first, 204)
			wantStatus(t, second, 204)
			time.Sleep(time.Second)
			if a := <-send(t, w, client, hooksURL, "d", `{}`); !strings.Contains(a.Status, "refused") {
				t.Errorf("after everything is handled: %s", a.Status)
			}
		})
	}
}

// A subscription that is closed while its drained receiver waits for the consumer ends at once.
func TestDrainEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Ack = webhook.AckOnEnqueue
		sub := subscribe(t, w, nil)
		wantStatus(t, post(w, sign(t, w.Provider, "a", `{}`)), 204)
		w.Drain()
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.Next(t.Context()); err != io.EOF {
			t.Errorf("the end waits for an event that is still in hand: %v", err)
		}
		start := time.Now()
		sub.Close()
		if d := time.Since(start); d >= time.Second {
			t.Errorf("Close took %v", d)
		}
	})
}
