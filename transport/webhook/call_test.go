package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func bodyOf(r *http.Response) string {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

type answerFunc = func(context.Context, *webhook.Call) (*provider.Answer, error)

// asking opens a Receiver without a subscription whose Answer is f.
func asking(t *testing.T, f answerFunc) (*webhook.Receiver, transport.Listener) {
	t.Helper()
	w := newHook()
	w.Answer = f
	l, err := w.Listen(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return w, l
}

func answer(status int, body string) answerFunc {
	return func(context.Context, *webhook.Call) (*provider.Answer, error) {
		return &provider.Answer{Status: status, Body: []byte(body)}, nil
	}
}

func TestAnswer(t *testing.T) {
	t.Run("decides status, header and body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var got *webhook.Call
			w, _ := asking(t, func(_ context.Context, c *webhook.Call) (*provider.Answer, error) {
				got = c
				return &provider.Answer{Status: 403, Header: http.Header{"content-type": {"application/json"}}, Body: []byte(`{"ok":false}`)}, nil
			})
			var rejected []int
			w.OnRejected = func(e *webhook.RejectedError) { rejected = append(rejected, e.Status) }
			a := wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{"type":"x"}`)), 403)
			if bodyOf(a) != `{"ok":false}` || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("got %v", a)
			}
			if got.ID != "msg_1" || len(got.Events) != 1 || got.Events[0].Type != "x" || string(got.Events[0].Data) != `{"type":"x"}` ||
				got.Proof != transport.ProofBody || got.Provider != "standardwebhooks" || got.Header.Get("Webhook-Signature") != "" {
				t.Errorf("got %+v, %+v", got, got.Delivery)
			}
			if len(rejected) != 1 || rejected[0] != 403 {
				t.Errorf("OnRejected: got %v, want 403", rejected)
			}
		})
	})
	t.Run("is not asked without a verified delivery", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
				t.Error("Answer was called")
				return nil, nil
			})
			r := sign(t, w.Provider, "msg_1", `{}`)
			r.Header.Set("Webhook-Id", "msg_2")
			wantStatus(t, post(w, r), 401)
		})
	})
	t.Run("leaves a delivery to the subscription", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newHook()
			asked := 0
			w.Answer = func(_ context.Context, c *webhook.Call) (*provider.Answer, error) {
				asked++
				if decode.Field(c.Events[0].Data, "ask") == "" {
					return nil, nil
				}
				return answer(200, "yes")(nil, nil)
			}
			conn := openBuffer(t, w, 1)
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			m := read(t, conn)
			again := post(w, sign(t, w.Provider, "msg_1", `{}`))
			unanswered(t, again)
			m.Settle(nil)
			wantStatus(t, a, 204)
			wantStatus(t, again, 204)
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)
			if asked != 1 {
				t.Errorf("asked %d times, want once: the subscription has it", asked)
			}
			// A full buffer does not keep a question from its answer.
			full := post(w, sign(t, w.Provider, "msg_2", `{}`))
			synctest.Wait()
			if got := bodyOf(wantStatus(t, post(w, sign(t, w.Provider, "msg_3", `{"ask":1}`)), 200)); got != "yes" {
				t.Errorf("got %q", got)
			}
			wantStatus(t, post(w, sign(t, w.Provider, "msg_4", `{}`)), 503)
			read(t, conn).Settle(nil)
			wantStatus(t, full, 204)
		})
	})
	t.Run("without a subscription", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) { return nil, nil })
			var reason string
			w.OnRejected = func(e *webhook.RejectedError) { reason = e.Error() }
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 503)
			if !strings.Contains(reason, "there is none") {
				t.Errorf("got %q, want the reason", reason)
			}
			if l, err := newHook().Listen(t.Context(), nil); err == nil {
				l.Close()
				t.Error("a nil Deliver is accepted without Answer")
			}
		})
	})
	t.Run("a repeated delivery gets the same answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			shared := []byte("decision 1")
			w, _ := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
				n++
				copy(shared, fmt.Sprint("decision ", n))
				return &provider.Answer{Body: shared}, nil
			})
			for range 3 {
				if got := bodyOf(wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 200)); got != "decision 1" {
					t.Errorf("got %q, want the first decision", got)
				}
			}
			if got := bodyOf(wantStatus(t, post(w, sign(t, w.Provider, "msg_2", `{}`)), 200)); got != "decision 2" {
				t.Errorf("got %q, want another decision", got)
			}
			if got := bodyOf(wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 200)); got != "decision 1" {
				t.Errorf("got %q: the answer was changed by the program", got)
			}
			time.Sleep(72 * time.Hour)
			if got := bodyOf(wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 200)); got != "decision 3" {
				t.Errorf("after DedupeFor: got %q, want another decision", got)
			}
		})
	})
	t.Run("a delivery without an identity is asked about each time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			w, _ := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
				n++
				return &provider.Answer{}, nil
			})
			w.Provider = noID()
			for range 3 {
				wantStatus(t, post(w, sign(t, w.Provider, "", `{}`)), 200)
			}
			if n != 3 {
				t.Errorf("asked %d times, want 3", n)
			}
		})
	})
	t.Run("concurrent attempts share a call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int32
			w, _ := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
				n.Add(1)
				time.Sleep(time.Second)
				return &provider.Answer{Body: []byte("once")}, nil
			})
			var all []<-chan *http.Response
			for range 20 {
				all = append(all, post(w, sign(t, w.Provider, "msg_1", `{}`)))
			}
			for _, a := range all {
				if got := bodyOf(wantStatus(t, a, 200)); got != "once" {
					t.Errorf("got %q", got)
				}
			}
			if n.Load() != 1 {
				t.Errorf("asked %d times, want once", n.Load())
			}
		})
	})
	t.Run("an error is forgotten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			w, _ := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
				if n++; n == 1 {
					return nil, errors.New("the bank does not answer")
				}
				return &provider.Answer{}, nil
			})
			var reason string
			w.OnRejected = func(e *webhook.RejectedError) { reason = e.Error() }
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 503)
			if !strings.Contains(reason, "the bank does not answer") {
				t.Errorf("got %q", reason)
			}
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 200)
		})
	})
	t.Run("a panic is forgotten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			w, l := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
				if n++; n == 1 {
					panic("a secret")
				}
				return &provider.Answer{}, nil
			})
			var reason string
			w.OnRejected = func(e *webhook.RejectedError) { reason = e.Error() }
			first := post(w, sign(t, w.Provider, "msg_1", `{}`))
			wantStatus(t, first, 500)
			if !strings.Contains(reason, "panicked") || strings.Contains(reason, "a secret") {
				t.Errorf("got %q", reason)
			}
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 200)
			w.Drain() // the call that panicked is not waited for
			if err := l.Wait(); !errors.Is(err, transport.ErrComplete) {
				t.Errorf("Wait: got %v", err)
			}
		})
	})
	t.Run("bad answers", func(t *testing.T) {
		for _, f := range []answerFunc{answer(100, ""), answer(600, ""), answer(-1, ""), answer(200, strings.Repeat("x", 64<<10+1))} {
			synctest.Test(t, func(t *testing.T) {
				w, _ := asking(t, f)
				wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 500)
			})
		}
		synctest.Test(t, func(t *testing.T) {
			w, _ := asking(t, answer(599, strings.Repeat("x", 64<<10)))
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 599)
		})
	})
}

// At the deadline, the sender gets Late whatever Answer does, and a later answer serves the next
// attempt.
func TestAnswerDeadline(t *testing.T) {
	t.Run("the context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan time.Duration, 1)
			start := time.Now()
			w, _ := asking(t, func(ctx context.Context, _ *webhook.Call) (*provider.Answer, error) {
				<-ctx.Done()
				ended <- time.Since(start)
				return nil, context.Cause(ctx)
			})
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 503)
			if took := time.Since(start); took != 10*time.Second {
				t.Errorf("took %v, want 10 s", took)
			}
			time.Sleep(time.Second)
			if len(ended) != 1 || <-ended != 10*time.Second {
				t.Error("the context did not end at the deadline")
			}
		})
	})
	t.Run("an answer that comes too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			w, _ := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
				n++
				time.Sleep(15 * time.Second)
				return &provider.Answer{Body: []byte("at last")}, nil
			})
			var reasons []string
			w.OnRejected = func(e *webhook.RejectedError) { reasons = append(reasons, e.Error()) }
			first := post(w, sign(t, w.Provider, "msg_1", `{}`))
			wantStatus(t, first, 503)
			second := post(w, sign(t, w.Provider, "msg_1", `{}`)) // joins the call
			if got := bodyOf(wantStatus(t, second, 200)); got != "at last" {
				t.Errorf("got %q", got)
			}
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 200)
			if n != 1 || len(reasons) != 1 || !strings.Contains(reasons[0], "Receiver.Answer did not return") {
				t.Errorf("asked %d times, with the reasons %q", n, reasons)
			}
		})
	})
	t.Run("a sender that hangs up does not end the call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := asking(t, func(ctx context.Context, _ *webhook.Call) (*provider.Answer, error) {
				time.Sleep(time.Second)
				return &provider.Answer{}, ctx.Err()
			})
			ctx, cancel := context.WithCancel(t.Context())
			first := post(w, sign(t, w.Provider, "msg_1", `{}`).WithContext(ctx))
			synctest.Wait()
			second := post(w, sign(t, w.Provider, "msg_1", `{}`))
			synctest.Wait()
			cancel()
			wantStatus(t, first, 503)
			wantStatus(t, second, 200)
		})
	})
}

// A function that hangs occupies a bounded number of goroutines, and Close does not wait for it.
func TestAnswerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var running atomic.Int32
		w, l := asking(t, func(context.Context, *webhook.Call) (*provider.Answer, error) {
			running.Add(1)
			<-release
			return nil, errors.New("too late")
		})
		var all []<-chan *http.Response
		for i := range 1100 {
			all = append(all, post(w, sign(t, w.Provider, fmt.Sprint("msg_", i), `{}`)))
		}
		synctest.Wait()
		if n := running.Load(); n != 1024 {
			t.Errorf("%d calls run, want 1024", n)
		}
		start := time.Now()
		l.Close()
		if took := time.Since(start); took > time.Second {
			t.Errorf("Close took %v, want a second at most", took)
		}
		for _, a := range all {
			wantStatus(t, a, 503)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the answers took %v, want a second at most", took)
		}
		close(release)
	})
}

func TestAnswerClose(t *testing.T) {
	t.Run("a call may end within the grace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, l := asking(t, func(ctx context.Context, _ *webhook.Call) (*provider.Answer, error) {
				time.Sleep(100 * time.Millisecond)
				return &provider.Answer{}, ctx.Err()
			})
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			synctest.Wait()
			l.Close()
			wantStatus(t, a, 200)
		})
	})
	t.Run("its context ends after the grace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var ended time.Duration
			start := time.Now()
			w, l := asking(t, func(ctx context.Context, _ *webhook.Call) (*provider.Answer, error) {
				<-ctx.Done()
				ended = time.Since(start)
				return nil, ctx.Err()
			})
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			synctest.Wait()
			l.Close()
			wantStatus(t, a, 503)
			synctest.Wait()
			if ended != 200*time.Millisecond {
				t.Errorf("the context ended after %v, want 200 ms", ended)
			}
		})
	})
	t.Run("Drain waits for calls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, l := asking(t, func(ctx context.Context, _ *webhook.Call) (*provider.Answer, error) {
				time.Sleep(3 * time.Second)
				return &provider.Answer{}, ctx.Err()
			})
			start := time.Now()
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			synctest.Wait()
			w.Drain()
			if err := l.Wait(); !errors.Is(err, transport.ErrComplete) || time.Since(start) != 3*time.Second {
				t.Errorf("Wait: got %v after %v", err, time.Since(start))
			}
			wantStatus(t, a, 200)
			wantStatus(t, post(w, sign(t, w.Provider, "msg_2", `{}`)), 503)
		})
	})
}

// The memory for answers is bounded by number and by size; the oldest are asked about again.
func TestAnswersRemembered(t *testing.T) {
	for size, kept := range map[int]int{1: 1024, 64 << 10: 64} {
		synctest.Test(t, func(t *testing.T) {
			asked := map[string]int{}
			w, _ := asking(t, func(_ context.Context, c *webhook.Call) (*provider.Answer, error) {
				asked[c.ID]++
				return &provider.Answer{Body: make([]byte, size)}, nil
			})
			for i := range kept + 1 {
				wantStatus(t, post(w, sign(t, w.Provider, fmt.Sprint("msg_", i), `{}`)), 200)
			}
			for i := 1; i <= kept; i++ {
				wantStatus(t, post(w, sign(t, w.Provider, fmt.Sprint("msg_", i), `{}`)), 200)
			}
			for id, n := range asked {
				if n != 1 {
					t.Fatalf("size %d: %s was asked about %d times, want once", size, id, n)
				}
			}
			wantStatus(t, post(w, sign(t, w.Provider, "msg_0", `{}`)), 200)
			if asked["msg_0"] != 2 {
				t.Errorf("size %d: the oldest was asked about %d times, want twice", size, asked["msg_0"])
			}
		})
	}
}

// Slack's view submission, Twilio's voice call: the same endpoint feeds and answers.
func TestAnswerSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: provider.Slack("a secret")}
		w.Answer = func(_ context.Context, c *webhook.Call) (*provider.Answer, error) {
			if c.Events[0].Type != "view_submission" {
				return nil, nil
			}
			return &provider.Answer{
				Header: http.Header{"Content-Type": {"application/json"}},
				Body:   []byte(`{"response_action":"errors","errors":{"b":"too long"}}`),
			}, nil
		}
		conn := openHook(t, w)
		form := sign(t, w.Provider, "", "payload=%7B%22type%22%3A%22view_submission%22%7D")
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if a := wantStatus(t, post(w, form), 200); !strings.Contains(bodyOf(a), "response_action") || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %v", a)
		}
		a := post(w, sign(t, w.Provider, "", `{"type":"event_callback","event_id":"Ev1"}`))
		read(t, conn).Settle(nil)
		wantStatus(t, a, 200)
		challenge := post(w, sign(t, w.Provider, "", `{"type":"url_verification","challenge":"c"}`))
		if got := bodyOf(wantStatus(t, challenge, 200)); got != "c" {
			t.Errorf("the handshake got %q, want c: it is no question", got)
		}
	})
}
