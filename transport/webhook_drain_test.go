package transport_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// Drain lets Read go on until everything that was taken in is settled.
func TestWebhookDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Drain() // of nothing
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
			_, err := conn.Read()
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
		if err := <-ended; !errors.Is(err, transport.ErrEnd) {
			t.Fatalf("Read: %v", err)
		}
		if err := readError(t, conn); !errors.Is(err, transport.ErrEnd) {
			t.Errorf("and then: %v", err)
		}
		start := time.Now()
		conn.Close()
		if time.Since(start) > 0 {
			t.Errorf("Close waited %v for nothing", time.Since(start))
		}

		conn = openHook(t, w)
		deliver(t, w, conn, "msg_4", `4`)
	})
}

// A subscription that is drained works off all that was answered, and ends without an error.
func TestWebhookDrainsSubscription(t *testing.T) {
	for _, ack := range []transport.AckMode{transport.AckHandled, transport.AckQueued} {
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
