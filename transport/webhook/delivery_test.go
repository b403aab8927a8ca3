package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

// The rest of a batch that fits only in part is offered again when one of its events is settled.
func TestBatchLargerThanTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		for _, data := range []string{itemA, item2, itemC} {
			m := take(t, conn, data)
			unanswered(t, a)
			if n := len(conn.queue); n != 0 {
				t.Fatalf("%d events were delivered before %s was settled", n, data)
			}
			m.Settle(nil)
			synctest.Wait()
		}
		wantStatus(t, a, 204)
		repeat(t, w, "msg_1", batch)
	})
}

// A refused event makes space for the others too.
func TestBatchLargerThanTheBufferIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		take(t, conn, itemA).Settle(errors.New("no"))
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 503)
		a = post(w, sign(t, w.Provider, "msg_1", batch))
		if m := take(t, conn, itemA); m.Attempt != 2 {
			t.Errorf("Attempt is %d, want 2", m.Attempt)
		} else {
			m.Settle(nil)
		}
		wantStatus(t, a, 204)
	})
}

// If nothing of a batch is outstanding and there is no space, its request is refused at once. The
// events that were acknowledged are skipped when it is repeated.
func TestBatchThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		m := take(t, conn, itemA)
		conn.busy.Store(true)
		start := time.Now()
		m.Settle(nil)
		wantStatus(t, a, 503)
		if d := time.Since(start); d != 0 {
			t.Errorf("answered after %v, want at once", d)
		}
		conn.busy.Store(false)
		a = post(w, sign(t, w.Provider, "msg_1", batch))
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 204)
	})
}

// With AckOnEnqueue no event is settled: the rest is offered until the deadline.
func TestBatchLargerThanTheBufferOnEnqueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches(), Ack: webhook.AckOnEnqueue}
		w.Provider.Deadline = 3 * time.Second
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		take(t, conn, itemA)
		unanswered(t, a)
		start := time.Now()
		wantStatus(t, a, 503) // item2 is in the buffer
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("answered after %v, want 3s", d)
		}
		take(t, conn, item2)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", batch)), 204)
		take(t, conn, itemC)
		if n := len(conn.queue); n != 0 {
			t.Errorf("%d events were delivered again", n)
		}
	})
}

// If the request that offers the rest of a batch ends, one that repeats it takes over.
func TestBatchIsOfferedByTheRequestThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		ctx, cancel := context.WithCancel(t.Context())
		gone := post(w, sign(t, w.Provider, "msg_1", batch).WithContext(ctx))
		synctest.Wait()
		m := take(t, conn, itemA)
		conn.busy.Store(true)
		second := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		cancel()
		wantStatus(t, gone, 503)
		unanswered(t, second)
		conn.busy.Store(false)
		m.Settle(nil)
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, second, 204)
	})
}

// The rest of a batch whose sender has gone is dropped once the delivered events are settled, and
// comes with the repeated delivery.
func TestBatchWithoutARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		ctx, cancel := context.WithCancel(t.Context())
		gone := post(w, sign(t, w.Provider, "msg_1", batch).WithContext(ctx))
		synctest.Wait()
		m := take(t, conn, itemA)
		synctest.Wait()
		cancel()
		wantStatus(t, gone, 503)
		m.Settle(nil)
		if n := len(conn.queue); n != 0 {
			t.Fatalf("%d events were delivered without a request", n)
		}
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 204)
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
			t.Fatal("Wait returned before every event was settled")
		default:
		}
		m.Settle(nil)
		wantStatus(t, a, 204)
		if err := end(conn); err != transport.ErrComplete {
			t.Errorf("Wait: %v, want ErrComplete", err)
		}
	})
}

// A panic in a function of the subscription is answered with 500, and the event is not accepted.
func TestPanicOfTheSubscription(t *testing.T) {
	for _, what := range []string{"Token", "Sequence", "Skip"} {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			var rejected []error
			w.OnRejected = func(e *webhook.RejectedError) { rejected = append(rejected, e) }
			mistakes := 1
			in := func(name string) {
				if name == what && mistakes > 0 {
					mistakes--
					panic("marker")
				}
			}
			sub := subscribe(t, w, &client.Options{
				TokenOf:    func(client.Event) string { in("Token"); return "" },
				SequenceOf: func(client.Event) (string, uint64, bool) { in("Sequence"); return "", 0, false },
				Skip:       func(client.Event) bool { in("Skip"); return false },
			})
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), http.StatusInternalServerError)
			if len(rejected) != 1 || !strings.Contains(rejected[0].Error(), "panicked") || strings.Contains(rejected[0].Error(), "marker") {
				t.Errorf("%s: OnRejected was called with %v", what, rejected)
			}
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			ev, err := sub.Next(t.Context())
			if err != nil || ev.ID != "msg_1" || ev.Gap != nil {
				t.Fatalf("%s: got %q, %v, %v", what, ev.ID, ev.Gap, err)
			}
			ev.Ack()
			wantStatus(t, a, 204)
			if n := sub.Stats().Buffered; n != 0 {
				t.Errorf("%s: %d events are left", what, n)
			}
		})
	}
}

// Requests that repeat a delivery whose events panic are refused, not left waiting.
func TestPanicWithARepeatWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		release := make(chan struct{})
		l, err := w.Listen(t.Context(), func(ms []transport.Message) (int, error) {
			if len(ms) > 0 {
				<-release
				panic("a mistake")
			}
			return 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		first := post(w, sign(t, w.Provider, "msg_1", `{}`))
		synctest.Wait()
		second := post(w, sign(t, w.Provider, "msg_1", `{}`))
		synctest.Wait()
		close(release)
		wantStatus(t, first, 500)
		wantStatus(t, second, 503)
	})
}
