package mock_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// A script plays the same on every wire: the same events at the same times, requested with the
// same tokens.
func TestOneScriptOnEveryWire(t *testing.T) {
	script := []mock.Step{
		wiretest.Object(1), mock.Keepalive(), wiretest.Object(2), mock.Drop(),
		mock.Status(503, http.Header{"Retry-After": {"9"}}), mock.Refuse(), mock.Drop(), mock.End(),
		wiretest.Object(3), mock.Pause(time.Hour), wiretest.Object(4), mock.End(),
		wiretest.Retry(time.Second), wiretest.Object(5), mock.Status(502), wiretest.Object(6), mock.Stall(),
		wiretest.Object(7), mock.Pause(time.Minute), mock.Slowly(time.Hour, wiretest.Object(8)), wiretest.Object(9),
		mock.Partial(wiretest.Object(10), 0), mock.Partial(wiretest.Object(11), 7), mock.Partial(wiretest.Object(12), -1), mock.Partial(wiretest.Object(13), 999),
		mock.Slowly(time.Hour, mock.Partial(wiretest.Object(14), 8)), mock.Partial(mock.Keepalive(), 3), mock.Partial(mock.Pause(0), 9),
		mock.Slowly(time.Hour, mock.Keepalive()), mock.Complete(),
	}
	type story struct {
		tokens []string
		at     []time.Duration
	}
	var first *story
	for name, wire := range wiretest.Wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(script...)
			tr := wire(t, feed)
			start := time.Now()
			var c wiretest.Consumer
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
			if err := c.Run(ctx, tr); err != context.DeadlineExceeded {
				t.Errorf("%s: end of the stall: got %v, want %v", name, err, context.DeadlineExceeded)
			}
			cancel()
			equal(t, c.Seen, wiretest.IDs(1, 6))
			time.Sleep(time.Until(start.Add(4 * time.Hour))) // closing takes time without an answer
			if err := c.Run(t.Context(), tr); err != transport.ErrComplete {
				t.Errorf("%s: got %v, want %v", name, err, transport.ErrComplete)
			}
			equal(t, c.Seen, wiretest.IDs(1, 14))
			if _, err := tr.Open(t.Context(), c.Token); err != transport.ErrComplete {
				t.Errorf("%s: Open after the end: got %v, want %v", name, err, transport.ErrComplete)
			}

			var s story
			for _, a := range feed.Attempts()[:17] { // on a wire one more attempt finds the end
				s.tokens = append(s.tokens, a.Token)
				s.at = append(s.at, a.At.Sub(start))
			}
			if first == nil {
				first = &s
			}
			if !slices.Equal(s.tokens, first.tokens) || !slices.Equal(s.at, first.at) {
				t.Errorf("%s: got attempts %q at %v, want %q at %v as on other wires", name, s.tokens, s.at, first.tokens, first.at)
			}
		})
	}
}

func TestRejectedTokenOnEveryWire(t *testing.T) {
	for name, wire := range wiretest.Wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(wiretest.Object(1), mock.Complete())
			c := wiretest.Consumer{Token: "stale"}
			if err := c.Run(t.Context(), wire(t, feed)); err != transport.ErrComplete {
				t.Errorf("%s: got %v, want %v", name, err, transport.ErrComplete)
			}
			var refusal interface{ RejectsToken() bool } // a 410, or a close code
			if len(c.Errs) == 0 || !errors.As(c.Errs[0], &refusal) || !refusal.RejectsToken() {
				t.Errorf("%s: %v, want the token to be rejected first", name, c.Errs)
			}
			equal(t, c.Seen, wiretest.IDs(1, 1))
		})
	}
}

// Several consumers share the time line: each receives every event once and in order, while the
// feed breaks all their connections repeatedly.
func TestManyConsumersOnEveryWire(t *testing.T) {
	const consumers, events = 4, 110
	for name, wire := range wiretest.Wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed()
			tr := wire(t, feed)
			all := make([]wiretest.Consumer, consumers)
			var wg sync.WaitGroup
			for i := range all {
				wg.Go(func() {
					if err := all[i].Run(t.Context(), tr); err != transport.ErrComplete {
						t.Errorf("%s: got %v, want %v", name, err, transport.ErrComplete)
					}
				})
			}
			synctest.Wait()
			if n := len(feed.Attempts()); n != consumers {
				t.Fatalf("%s: got %d connections, want %d", name, n, consumers)
			}
			var publishers sync.WaitGroup
			for n := range 4 {
				publishers.Go(func() {
					for range n {
						feed.Publish(mock.Keepalive(), mock.Pause(time.Second))
					}
				})
			}
			for n := 1; n <= events; n++ {
				switch {
				case n%13 == 0:
					feed.Publish(mock.Partial(wiretest.Object(n), n%9))
				case n%17 == 0:
					feed.Publish(mock.Slowly(time.Second, wiretest.Object(n)))
				default:
					feed.Publish(wiretest.Object(n))
				}
				switch {
				case n%7 == 0:
					feed.Publish(mock.Drop())
				case n%50 == 1:
					feed.Publish(mock.Status(503), mock.Refuse(), mock.Pause(time.Minute))
				case n%31 == 0:
					feed.Publish(mock.End())
				}
			}
			publishers.Wait()
			feed.Publish(mock.Complete())
			wg.Wait()
			for _, c := range all {
				if !slices.Equal(c.Seen, wiretest.IDs(1, events)) {
					t.Errorf("%s: got events %v, want 1 to %d", name, c.Seen, events)
				}
			}
			var log []string
			for _, f := range feed.Log() {
				log = append(log, f.ID)
			}
			if !slices.Equal(log, wiretest.IDs(1, events)) {
				t.Errorf("%s: Log: got %v, want 1 to %d", name, log, events)
			}
		})
	}
}

// A day of heartbeats every 8 minutes, with a drop every 40 minutes.
func TestDayOnEveryWire(t *testing.T) {
	const drops, beats = 24 * 60 / 40, 5
	for name, wire := range wiretest.Wires {
		synctest.Test(t, func(t *testing.T) {
			var script []mock.Step
			for n := 1; n <= drops; n++ {
				script = append(script, wiretest.Object(n))
				for range beats {
					script = append(script, mock.Pause(40*time.Minute/beats), mock.Keepalive())
				}
				script = append(script, mock.Drop())
			}
			feed := mock.NewFeed(append(script, mock.Complete())...)
			start := time.Now()
			var c wiretest.Consumer
			if err := c.Run(t.Context(), wire(t, feed)); err != transport.ErrComplete {
				t.Errorf("%s: got %v, want %v", name, err, transport.ErrComplete)
			}
			if d := time.Since(start); d != 24*time.Hour+drops*time.Second {
				t.Errorf("%s: took %v, want %v", name, d, 24*time.Hour+drops*time.Second)
			}
			equal(t, c.Seen, wiretest.IDs(1, drops))
			if n := c.Kinds[decode.KindKeepalive]; n != drops*beats && !strings.HasPrefix(name, "WebSocket") { // where it is a ping
				t.Errorf("%s: got %d keepalives, want %d", name, n, drops*beats)
			}
		})
	}
}

// Every wire enforces the limits of the feed.
func TestLimitsOnEveryWire(t *testing.T) {
	for name, wire := range wiretest.Wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(wiretest.Object(1), wiretest.Object(2), wiretest.Object(3), wiretest.Object(4))
			feed.Retention, feed.MaxConns = 2, 1
			tr := wire(t, feed)
			c, err := tr.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			wiretest.Read(t, c, 4)
			var status *transport.StatusError
			if _, err := tr.Open(t.Context(), "3"); !errors.As(err, &status) || status.Code != http.StatusTooManyRequests {
				t.Errorf("%s: a second connection: got %v, want status 429", name, err)
			}
			c.Close()
			synctest.Wait()
			var rejects interface{ RejectsToken() bool }
			if _, err := tr.Open(t.Context(), "1"); !errors.As(err, &rejects) || !rejects.RejectsToken() {
				t.Errorf("%s: a token from before: got %v, want it rejected", name, err)
			}
			equal(t, wiretest.Read(t, wiretest.Open(t, tr, "2"), 2), []string{`{"id":"3"}`, `{"id":"4"}`})

			feed.MaxConns, feed.TooMany = 2, mock.Status(http.StatusConflict)
			wiretest.Open(t, tr, "")
			if _, err := tr.Open(t.Context(), "3"); !errors.As(err, &status) || status.Code != http.StatusConflict {
				t.Errorf("%s: a third connection: got %v, want status 409", name, err)
			}
			feed.Authorize = func(*http.Request) bool { return false }
			feed.MaxConns = 0
			if _, err := tr.Open(t.Context(), ""); name != "no wire" && (!errors.As(err, &status) || status.Code != http.StatusUnauthorized) {
				t.Errorf("%s: bad credentials: got %v, want status 401", name, err)
			}
		})
	}
}
