package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

func TestCloseRefusesWhatIsNotSettled(t *testing.T) {
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
			t.Errorf("Close took %v, want less than 1s", d)
		}
		wantStatus(t, taken, 503)
		wantStatus(t, queued, 503)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_3", `{}`)), 503)
		end(conn)
		m.Settle(nil) // too late for the answer, but the event is handled

		conn = openHook(t, w)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)
		a := post(w, sign(t, w.Provider, "msg_2", `{}`))
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, a, 204)
	})
}

func TestCloseWaitsForTheConsumer(t *testing.T) {
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
			t.Errorf("Close took %v although everything was settled, want none", d)
		}
	})
}

func TestContextEndsListener(t *testing.T) {
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
			t.Errorf("Wait: got %v, want %v", err, errStop)
		}
		wantStatus(t, a, 503)
		conn.Close()
		if _, err := w.Listen(ctx, closedDeliver); !errors.Is(err, errStop) {
			t.Errorf("Listen: got %v, want %v", err, errStop)
		}
	})
}

func TestOneListenerAtATime(t *testing.T) {
	w := newHook()
	conn := openHook(t, w)
	if _, err := w.Listen(t.Context(), closedDeliver); retryable(err) != "false" {
		t.Errorf("second Listen: got %v, want an error that is not retryable", err)
	}
	conn.Close()
	conn.Close()
	openHook(t, w)
}

// A subscription that ends during a thousand requests answers each of them, and answers with a 2xx
// only those that were acknowledged.
func TestCloseWithManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Provider.Deadline = time.Minute
		sub := subscribe(t, w, &client.Options{Buffer: 2000})
		answers := make(map[string]<-chan *http.Response)
		for i := range 1000 {
			id := fmt.Sprint("msg_", i)
			answers[id] = post(w, sign(t, w.Provider, id, `{}`))
		}
		synctest.Wait()
		var acked sync.Map
		go func() {
			for ev, err := range sub.Events() {
				if err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
				acked.Store(ev.ID, true)
			}
		}()
		time.Sleep(5*time.Second + 5*time.Millisecond)
		start := time.Now()
		sub.Close()
		if d := time.Since(start); d >= time.Second {
			t.Errorf("Close took %v, want less than 1s", d)
		}
		n := 0
		for id, a := range answers {
			got := <-a
			if _, ok := acked.Load(id); ok != (got.StatusCode == 204) || !ok && got.StatusCode != 503 {
				t.Errorf("%s: got acknowledged %v, answer %s, want 204 if acknowledged, otherwise 503", id, ok, got.Status)
			} else if ok {
				n++
			}
		}
		if n < 500 || n > 510 {
			t.Errorf("got %d acknowledged, want 500 to 510", n)
		}
		if d := time.Since(start); d >= time.Second {
			t.Errorf("the last answer came after %v, want less than 1s", d)
		}
	})
}

// A batch that is being delivered when Drain is called is delivered in full.
func TestDrainCompletesABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		m := take(t, conn, itemA)
		synctest.Wait()
		w.Drain()
		for _, data := range []string{item2, itemC} {
			m.Settle(nil)
			m = take(t, conn, data)
		}
		select {
		case <-conn.ended:
			t.Fatal("Wait: got a return before every event was settled, want one after it")
		default:
		}
		m.Settle(nil)
		wantStatus(t, a, 204)
		if err := end(conn); err != transport.ErrComplete {
			t.Errorf("Wait: %v, want ErrComplete", err)
		}
	})
}

// After Drain, Wait returns once every accepted delivery is settled.
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
		time.Sleep(time.Hour) // its request was answered, and the event is not settled
		wantStatus(t, inHand, 503)
		select {
		case err := <-ended:
			t.Fatalf("Wait: got %v before every event was settled, want none", err)
		default:
		}
		m.Settle(nil)
		if err := <-ended; !errors.Is(err, transport.ErrComplete) {
			t.Fatalf("Wait: got %v, want %v", err, transport.ErrComplete)
		}
		if err := end(conn); !errors.Is(err, transport.ErrComplete) {
			t.Errorf("second Wait: got %v, want %v", err, transport.ErrComplete)
		}
		start := time.Now()
		conn.Close()
		if time.Since(start) > 0 {
			t.Errorf("Close took %v with nothing to settle, want none", time.Since(start))
		}

		conn = openHook(t, w)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_4", `4`)), 503)
		if err := end(conn); !errors.Is(err, transport.ErrComplete) {
			t.Errorf("Wait of a later Listener: got %v, want %v", err, transport.ErrComplete)
		}
	})
}

// A drained subscription delivers all that was accepted, and ends without an error.
func TestDrainEndsSubscription(t *testing.T) {
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
			time.AfterFunc(time.Second, w.Drain) // while the first is handled
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

// Drain counts whenever it is called: before the first Listener, between two, and while one is
// opened or closed.
func TestDrainBetweenListeners(t *testing.T) {
	for _, after := range []time.Duration{0, 1, 50, 199, 200, 201, 400, 2000} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			sub := subscribe(t, w, nil)
			inHand := post(w, sign(t, w.Provider, "a", `{}`))
			ev, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sub.Reconnect() // Close takes 200 ms, because an event is not settled
			time.Sleep(after * time.Millisecond)
			w.Drain()
			time.Sleep(time.Second)
			wantStatus(t, inHand, 503)
			wantStatus(t, post(w, sign(t, w.Provider, "b", `{}`)), 503)
			ev.Ack()
			if _, err := sub.Next(t.Context()); err != io.EOF {
				t.Errorf("Drain %d ms after Reconnect: got %v, want io.EOF", after, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Drain()
		if _, err := subscribe(t, w, nil).Next(t.Context()); err != io.EOF {
			t.Errorf("Drain before Subscribe: got %v, want io.EOF", err)
		}
	})
}

// After a reconnect, Drain ends the feed cleanly, with no gap, whether there was an event or not.
func TestDrainAfterReconnect(t *testing.T) {
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
				t.Errorf("Next after Drain: got %v, want io.EOF", err)
			}
			if n := sub.Stats().Gaps; n != 0 {
				t.Errorf("got %d gaps, want none", n)
			}
		})
	}
}

// Reconnect changes nothing once the feed is complete: the receiver refuses until the consumer
// has handled its events.
func TestReconnectAfterDrain(t *testing.T) {
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
			t.Errorf("got rejections %v, want one while draining", refused)
		}
		ev.Ack()
		time.Sleep(time.Second)
		wantStatus(t, post(w, sign(t, w.Provider, "c", `{}`)), 503)
		if len(refused) != 2 || !strings.Contains(refused[1].Error(), "no Listener") {
			t.Errorf("got rejections %v, want a second one without a Listener", refused)
		}
	})
}

func TestDrainWhileTheAddressIsInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newHook()
	w.Addr = l.Addr().String()
	w.Drain()
	if _, err := w.Listen(t.Context(), closedDeliver); !errors.Is(err, transport.ErrComplete) {
		t.Errorf("Listen: got %v, want %v", err, transport.ErrComplete)
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
			t.Errorf("Next after Drain: got %v before the last event is settled, want io.EOF", err)
		}
		start := time.Now()
		sub.Close()
		if d := time.Since(start); d >= time.Second {
			t.Errorf("Close took %v, want less than 1s", d)
		}
	})
}
