package mock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A wire is a way to a feed.
type wire = func(t *testing.T, feed *mock.Feed) transport.Transport

// wires are the ways to a feed.
var wires = map[string]wire{
	"no wire":                func(_ *testing.T, feed *mock.Feed) transport.Transport { return feed },
	"SSE, HTTP/1":            wireOf((*mock.Feed).SSE, "http", nil),
	"SSE, HTTP/2":            wireOf((*mock.Feed).SSE, "https", nil),
	"NDJSON, HTTP/1":         wireOf((*mock.Feed).NDJSON, "http", nil),
	"NDJSON, HTTP/2":         wireOf((*mock.Feed).NDJSON, "https", nil),
	"ConcatJSON, HTTP/1":     wireOf((*mock.Feed).ConcatJSON, "http", nil),
	"JSONSeq, HTTP/1":        wireOf((*mock.Feed).JSONSeq, "http", nil),
	"LengthPrefixed, HTTP/1": wireOf((*mock.Feed).LengthPrefixed, "http", decode.LengthPrefixed{}),
	"LengthPrefixed, HTTP/2": wireOf((*mock.Feed).LengthPrefixed, "https", decode.LengthPrefixed{}),
	"WebSocket": func(t *testing.T, feed *mock.Feed) transport.Transport {
		return overSocket(t, feed.WebSocket(nil, nil), "ws")
	},
	"WebSocket, TLS": func(t *testing.T, feed *mock.Feed) transport.Transport {
		return overSocket(t, feed.WebSocket(nil, nil), "wss")
	},
}

func wireOf(handler func(*mock.Feed) http.Handler, scheme string, format decode.Format) wire {
	return func(t *testing.T, feed *mock.Feed) transport.Transport {
		tr := over(t, handler(feed), scheme)
		tr.Format = format
		return tr
	}
}

func overSocket(t *testing.T, h http.Handler, scheme string) *transport.WebSocket {
	srv := serve(t, h)
	return &transport.WebSocket{
		URL: scheme + "://feed.test/stream", Client: srv.Client(), EOF: transport.EOFEnds,
		Resume: transport.ResumeQuery("since"), PingInterval: -1,
	}
}

func over(t *testing.T, h http.Handler, scheme string) *transport.HTTP {
	srv := serve(t, h)
	return &transport.HTTP{
		URL: scheme + "://feed.test/stream", Client: srv.Client(),
		Resume: transport.ResumeQuery("since"), IdleTimeout: -1,
	}
}

// A consumer reads a feed to its end, as simply as can be: it reconnects after a second
// and resumes after the last event.
type consumer struct {
	token string
	seen  []string
	kinds map[decode.Kind]int
	errs  []error
}

// object is an event whose data is a JSON object, which NDJSON sends as it is.
func object(n int) mock.Step { return mock.Event(fmt.Sprint(n), fmt.Sprintf(`{"id":"%d"}`, n)) }

func (c *consumer) run(ctx context.Context, tr transport.Transport) error {
	for {
		err := c.connect(ctx, tr)
		if err == transport.ErrEnd || ctx.Err() != nil {
			return err
		}
		c.errs = append(c.errs, err)
		var rejects interface{ RejectsToken() bool }
		if errors.As(err, &rejects) && rejects.RejectsToken() {
			c.token = ""
		}
		time.Sleep(time.Second)
	}
}

func (c *consumer) connect(ctx context.Context, tr transport.Transport) error {
	conn, err := tr.Open(ctx, c.token)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		m, err := readFrom(conn)
		if err != nil {
			return err
		}
		c.take(m)
	}
}

func (c *consumer) take(m transport.Message) {
	if c.kinds == nil {
		c.kinds = make(map[decode.Kind]int)
	}
	c.kinds[m.Kind]++
	if m.Kind != decode.KindData {
		return
	}
	var event struct{ ID string }
	if err := json.Unmarshal(m.Data, &event); err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.token = event.ID
	c.seen = append(c.seen, event.ID)
}

func ids(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// One script is one story on every wire: the same events at the same times, asked for
// with the same tokens.
func TestOneScriptOnEveryWire(t *testing.T) {
	script := []mock.Step{
		object(1), mock.Keepalive(), object(2), mock.Drop(),
		mock.Status(503, http.Header{"Retry-After": {"9"}}), mock.Refuse(), mock.Drop(), mock.End(),
		object(3), mock.Pause(time.Hour), object(4), mock.End(),
		mock.Retry(time.Second), object(5), mock.Status(502), object(6), mock.Stall(),
		object(7), mock.Pause(time.Minute), mock.Slowly(time.Hour, object(8)), object(9),
		mock.Partial(object(10), 0), mock.Partial(object(11), 7), mock.Partial(object(12), -1), mock.Partial(object(13), 999),
		mock.Slowly(time.Hour, mock.Partial(object(14), 8)), mock.Partial(mock.Keepalive(), 3), mock.Partial(mock.Pause(0), 9),
		mock.Slowly(time.Hour, mock.Keepalive()), mock.Complete(),
	}
	type story struct {
		tokens []string
		at     []time.Duration
	}
	var first *story
	for name, wire := range wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(script...)
			tr := wire(t, feed)
			start := time.Now()
			var c consumer
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
			if err := c.run(ctx, tr); err != context.DeadlineExceeded {
				t.Errorf("%s: the stall ended with %v", name, err)
			}
			cancel()
			equal(t, c.seen, ids(1, 6))
			time.Sleep(time.Until(start.Add(4 * time.Hour))) // closing takes time where nobody answers
			if err := c.run(t.Context(), tr); err != transport.ErrEnd {
				t.Errorf("%s: %v", name, err)
			}
			equal(t, c.seen, ids(1, 14))
			if _, err := tr.Open(t.Context(), c.token); err != transport.ErrEnd {
				t.Errorf("%s: Open after the end: %v", name, err)
			}

			var s story
			for _, a := range feed.Attempts()[:17] { // on a wire one more learns of the end
				s.tokens = append(s.tokens, a.Token)
				s.at = append(s.at, a.At.Sub(start))
			}
			if first == nil {
				first = &s
			}
			if !slices.Equal(s.tokens, first.tokens) || !slices.Equal(s.at, first.at) {
				t.Errorf("%s: attempts %q at %v, elsewhere %q at %v", name, s.tokens, s.at, first.tokens, first.at)
			}
		})
	}
}

func TestRejectedTokenOnEveryWire(t *testing.T) {
	for name, wire := range wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(object(1), mock.Complete())
			c := consumer{token: "stale"}
			if err := c.run(t.Context(), wire(t, feed)); err != transport.ErrEnd {
				t.Errorf("%s: %v", name, err)
			}
			var refusal interface{ RejectsToken() bool } // a 410, or a close code
			if len(c.errs) == 0 || !errors.As(c.errs[0], &refusal) || !refusal.RejectsToken() {
				t.Errorf("%s: %v, want the token to be rejected first", name, c.errs)
			}
			equal(t, c.seen, ids(1, 1))
		})
	}
}

// Several consumers share the time line: each gets every event once and in order, while
// the feed breaks all their connections again and again.
func TestManyConsumersOnEveryWire(t *testing.T) {
	const consumers, events = 8, 150
	for name, wire := range wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed()
			tr := wire(t, feed)
			all := make([]consumer, consumers)
			var wg sync.WaitGroup
			for i := range all {
				wg.Go(func() {
					if err := all[i].run(t.Context(), tr); err != transport.ErrEnd {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			if _, err := feed.Await(t.Context(), consumers); err != nil {
				t.Fatal(err)
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
					feed.Publish(mock.Partial(object(n), n%9))
				case n%17 == 0:
					feed.Publish(mock.Slowly(time.Second, object(n)))
				default:
					feed.Publish(object(n))
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
				if !slices.Equal(c.seen, ids(1, events)) {
					t.Errorf("%s: saw %v", name, c.seen)
				}
			}
			var log []string
			for _, f := range feed.Log() {
				log = append(log, f.ID)
			}
			if !slices.Equal(log, ids(1, events)) {
				t.Errorf("%s: the log has %v", name, log)
			}
		})
	}
}

// A day of heartbeats every 30 seconds, with a drop every 10 minutes.
func TestDayOnEveryWire(t *testing.T) {
	const drops, beats = 24 * 6, 5
	for name, wire := range wires {
		synctest.Test(t, func(t *testing.T) {
			var script []mock.Step
			for n := 1; n <= drops; n++ {
				script = append(script, object(n))
				for range beats {
					script = append(script, mock.Pause(10*time.Minute/beats), mock.Keepalive())
				}
				script = append(script, mock.Drop())
			}
			feed := mock.NewFeed(append(script, mock.Complete())...)
			start := time.Now()
			var c consumer
			if err := c.run(t.Context(), wire(t, feed)); err != transport.ErrEnd {
				t.Errorf("%s: %v", name, err)
			}
			if d := time.Since(start); d != 24*time.Hour+drops*time.Second {
				t.Errorf("%s: took %v", name, d)
			}
			equal(t, c.seen, ids(1, drops))
			if n := c.kinds[decode.KindKeepalive]; n != drops*beats && !strings.HasPrefix(name, "WebSocket") { // where it is a ping
				t.Errorf("%s: %d keepalives, want %d", name, n, drops*beats)
			}
		})
	}
}
