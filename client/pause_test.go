package client_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A paused subscription delivers its buffer and nothing more. Resume continues without a loss, on the
// same connection except for a WebSocket, whose server needs its pings answered.
func TestPause(t *testing.T) {
	onEveryWire(t, func() *mock.Feed { return mock.NewFeed(series(1, 5)...) }, func(t *testing.T, feed *mock.Feed, src transport.Transport, o client.Options) {
		book := &logbook{}
		o.Logger = book.logger()
		sub := subscribe(t, src, &o)
		defer sub.Close()
		f := follow(sub, time.Second)
		time.Sleep(1500 * time.Millisecond)
		sub.Pause()
		sub.Pause()
		feed.Publish(series(6, 5)...)
		time.Sleep(10 * time.Minute) // longer than every limit for a silent peer
		synctest.Wait()
		want(t, "events while paused", f.seen(), ids(1, 5))
		if s := sub.Stats(); s.State != client.StatePaused || s.Buffered != 0 || s.Received > 5 {
			t.Errorf("Stats: got %+v, want paused with nothing buffered or received", s)
		}
		sub.Resume()
		sub.Resume()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want(t, "events", f.seen(), ids(1, 10))
		if s := sub.Stats(); s.State != client.StateLive || s.Gaps != 0 || s.Duplicates != 0 {
			t.Errorf("Stats: got %+v, want live without a loss", s)
		}
		conns := 1
		if _, ok := src.(*transport.WebSocket); ok {
			conns = 2
		}
		if a := feed.Attempts(); len(a) != conns {
			t.Errorf("got %d attempts to connect, want %d", len(a), conns)
		}
		lines := slices.DeleteFunc(book.brief(), func(l string) bool { return l != "INFO paused" && l != "INFO resumed" })
		want(t, "log", lines, []string{"INFO paused", "INFO resumed"})
	})
}

// A connection on which nothing arrives stays open for as long as the pause lasts.
func TestPauseOfAQuietFeed(t *testing.T) {
	onEveryWire(t, func() *mock.Feed {
		var quiet []mock.Step
		for range 60 {
			quiet = append(quiet, mock.Pause(10*time.Second), mock.Keepalive())
		}
		return script(series(1, 1), quiet, series(2, 1))
	}, func(t *testing.T, feed *mock.Feed, src transport.Transport, o client.Options) {
		if ws, ok := src.(*transport.WebSocket); ok {
			ws.IdleTimeout = 0
		}
		sub := subscribe(t, src, &o)
		defer sub.Close()
		f := follow(sub, 0)
		time.Sleep(time.Second)
		sub.Pause()
		time.Sleep(10 * time.Minute)
		want(t, "events while paused", f.seen(), ids(1, 1))
		sub.Resume()
		synctest.Wait()
		want(t, "events", f.seen(), ids(1, 2))
		if a := feed.Attempts(); len(a) != 1 {
			t.Errorf("got %d attempts to connect, want 1", len(a))
		}
	})
}

// A pause is no stall of the consumer, and a stall is reported again 30 s after it.
func TestPauseIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalls []time.Duration
		start := time.Now()
		sub := subscribe(t, mock.NewFeed(series(1, 5)...), &client.Options{Buffer: 2, Trace: &client.Trace{
			Stalled: func(client.Stall) { stalls = append(stalls, time.Since(start)) },
		}})
		defer sub.Close()
		time.Sleep(20 * time.Second)
		sub.Pause()
		time.Sleep(time.Hour)
		if s := sub.Stats().State; s != client.StatePaused {
			t.Errorf("got the state %v, want %v", s, client.StatePaused)
		}
		sub.Resume()
		time.Sleep(29 * time.Second)
		if s := sub.Stats().State; s != client.StateFull {
			t.Errorf("got the state %v, want %v", s, client.StateFull)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want(t, "stalls", stalls, []time.Duration{time.Hour + 50*time.Second})
	})
}

// Reconnect, failures and the end have their usual effect on a paused subscription.
func TestWhatHappensWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(series(1, 1), steps(mock.Pause(time.Second), mock.Drop(), mock.Refuse()), series(2, 3), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		f := follow(sub, 0)
		synctest.Wait()
		sub.Pause()
		time.Sleep(time.Minute)
		want(t, "events while paused", f.seen(), ids(1, 1))
		want(t, "tokens", tokens(feed), []string{"", "1", "1"})
		sub.Reconnect()
		time.Sleep(time.Minute)
		want(t, "tokens after Reconnect", tokens(feed), []string{"", "1", "1", "1"})
		want(t, "events after Reconnect", f.seen(), ids(1, 1))
		if s := sub.Stats().State; s != client.StatePaused {
			t.Errorf("got the state %v, want %v", s, client.StatePaused)
		}
		sub.Resume()
		f.ended(t)
		want(t, "events", f.seen(), ids(1, 4))
	})
}

// A subscription that is paused before it is connected, or while it waits for the next attempt,
// connects and takes nothing in.
func TestPauseBeforeConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(steps(mock.Status(503)), series(1, 2))
		sub := subscribe(t, feed, nil)
		sub.Pause()
		f := follow(sub, 0)
		if err := sub.WaitConnected(within(t, time.Minute)); err != nil {
			t.Errorf("WaitConnected: got %v, want nil", err)
		}
		time.Sleep(time.Minute)
		if got := f.seen(); len(got) > 0 {
			t.Errorf("got the events %v, want none while paused", got)
		}
		start := time.Now()
		if err := sub.Close(); err != nil || time.Since(start) > time.Second {
			t.Errorf("Close: got %v after %v, want nil within a second", err, time.Since(start))
		}
		f.ended(t)
	})
}

// A backfill waits with its deliver, and no event of it is lost.
func TestPauseDuringABackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{answers: []answer{{items: listed("a", "b", "c"), resume: "2"}}}
		feed := mock.NewFeed(series(1, 4)...)
		first := subscribe(t, feed, nil)
		synctest.Wait()
		first.Close()
		sub := subscribe(t, feed, &client.Options{Backfill: a.backfill, Buffer: 1})
		defer sub.Close()
		f := follow(sub, time.Second)
		time.Sleep(500 * time.Millisecond)
		sub.Pause()
		time.Sleep(time.Minute)
		want(t, "events while paused", f.seen(), []string{"a"})
		if s := sub.Stats().State; s != client.StatePaused {
			t.Errorf("got the state %v, want %v", s, client.StatePaused)
		}
		sub.Resume()
		time.Sleep(time.Minute)
		want(t, "events", f.seen(), []string{"a", "b", "c", "3", "4"})
	})
}

// A Receiver refuses deliveries while it is paused, with room in the buffer, and a backfill of it waits.
func TestPauseOfAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, a := &hub{}, &archive{answers: []answer{{items: listed("a", "b", "c")}}}
		sub := listening(t, h, &client.Options{Dedupe: 10, Backfill: a.backfill, Buffer: 2})
		defer sub.Close()
		time.Sleep(time.Second)
		sub.Pause()
		f := follow(sub, 0)
		var r request
		time.Sleep(time.Minute)
		h.reject(t, 0, transport.ErrFull, r.message("1"))
		h.reject(t, 0, transport.ErrFull)
		want(t, "events while paused", f.seen(), []string{"a", "b"})
		sub.Resume()
		synctest.Wait()
		h.accept(t, r.message("1"))
		synctest.Wait()
		want(t, "events", f.seen(), []string{"a", "b", "c", "1"})
		r.is(t, "after Resume", nil)
	})
}

// Senders of webhooks get 503 with Retry-After while the subscription is paused. What was accepted is
// handled and answered.
func TestPauseOfAWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook.Receiver{Provider: &provider.Provider{Name: "test", Scheme: provider.Unsigned{}}}
		srv := mock.NewServer(hook)
		defer srv.Close()
		post := func(body string) (code int, retryAfter string) {
			resp, err := srv.Client().Post(srv.URL, "application/json", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return 0, ""
			}
			resp.Body.Close()
			return resp.StatusCode, resp.Header.Get("Retry-After")
		}
		sub := subscribe(t, hook, nil)
		defer sub.Close()
		if err := sub.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
		answered := make(chan string)
		go func() {
			code, _ := post("1")
			answered <- fmt.Sprint(code / 100)
		}()
		ev := next(t, sub)
		sub.Pause()
		if code, after := post("2"); code != http.StatusServiceUnavailable || after == "" {
			t.Errorf("while paused: got %d, Retry-After %q, want 503 with Retry-After", code, after)
		}
		ev.Ack()
		if code := <-answered; code != "2" {
			t.Errorf("the accepted delivery: got %sxx, want 2xx", code)
		}
		sub.Resume()
		go func() {
			code, _ := post("2")
			answered <- fmt.Sprint(code / 100)
		}()
		ev = next(t, sub)
		ev.Ack()
		if code := <-answered; code != "2" {
			t.Errorf("after Resume: got %sxx, want 2xx", code)
		}
	})
}

// A connection that is replaced while paused is not read either, and nothing is lost or repeated.
func TestPauseDuringAHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(series(1, 3)...)
		srv := mock.NewServer(feed.WebSocket(nil, nil))
		defer srv.Close()
		var ends []error
		sub := subscribe(t, &transport.WebSocket{
			URL: "ws://feed.test", Client: srv.Client(), Resume: transport.ResumeQuery("since"),
			MaxConnectionAge: time.Minute, Overlap: true,
		}, &client.Options{TokenOf: client.Field("id"), Trace: &client.Trace{
			Disconnected: func(d client.DisconnectInfo) { ends = append(ends, d.Err) },
		}})
		defer sub.Close()
		f := follow(sub, 0)
		time.Sleep(time.Second)
		sub.Pause()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(ends) == 0 {
			t.Error("the connection was not replaced while paused")
		}
		feed.Publish(series(4, 3)...)
		time.Sleep(10 * time.Minute)
		want(t, "events while paused", f.seen(), ids(1, 3))
		sub.Resume()
		time.Sleep(time.Minute)
		want(t, "events", f.seen(), ids(1, 6))
		if s := sub.Stats(); s.Gaps != 0 {
			t.Errorf("got %d gaps, want none", s.Gaps)
		}
	})
}
