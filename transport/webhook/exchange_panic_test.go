package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

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
				t.Errorf("%s: OnRejected: got %v, want one panic without its value", what, rejected)
			}
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			ev, err := sub.Next(t.Context())
			if err != nil || ev.ID != "msg_1" || ev.Gap != nil {
				t.Fatalf("%s: got %q, gap %v, %v, want msg_1 without a gap", what, ev.ID, ev.Gap, err)
			}
			ev.Ack()
			wantStatus(t, a, 204)
			if n := sub.Stats().Buffered; n != 0 {
				t.Errorf("%s: got %d buffered events, want none", what, n)
			}
		})
	}
}

// When a delivery panics, the requests that repeat it and wait are refused.
func TestPanicRefusesWaitingRepeats(t *testing.T) {
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

func TestPanicOfTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		boom := true
		w.Provider.Respond = func(*provider.Request, *provider.Delivery) *provider.Answer {
			if boom {
				panic("the secret is 1234")
			}
			return nil
		}
		var rejected error
		w.OnRejected = func(e *webhook.RejectedError) { rejected = e }
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 500)
		if rejected == nil || !strings.Contains(rejected.Error(), "panic") || strings.Contains(rejected.Error(), "1234") {
			t.Errorf("OnRejected: got %v, want a panic without its value", rejected)
		}
		boom = false
		deliver(t, w, conn, "msg_1", `{}`)
	})
}

func TestPanicOfTheServer(t *testing.T) {
	w := newHook()
	openHook(t, w)
	r := sign(t, w.Provider, "msg_1", `{}`)
	r.Body = io.NopCloser(aborting{})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recover: got %v, want %v", v, http.ErrAbortHandler)
		}
	}()
	w.ServeHTTP(httptest.NewRecorder(), r)
}

type aborting struct{}

func (aborting) Read([]byte) (int, error) { panic(http.ErrAbortHandler) }
