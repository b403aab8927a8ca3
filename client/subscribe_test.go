package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// bubble runs f in a synctest bubble.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func subscribe(t *testing.T, src transport.Source, o *client.Options) *client.Subscription {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// data reads the loop to its end, or up to n events if n > 0, which are acknowledged.
func data(t *testing.T, sub *client.Subscription, n int) (got []string, end error) {
	t.Helper()
	for ev, err := range sub.Events() {
		if err != nil {
			return got, err
		}
		got = append(got, string(ev.Data))
		if len(got) == n {
			ev.Ack()
			break
		}
	}
	return got, nil
}

func tokens(f *mock.Feed) (tokens []string) {
	for _, a := range f.Attempts() {
		tokens = append(tokens, a.Token)
	}
	return tokens
}

func events(ids ...string) (steps []mock.Step) {
	for _, id := range ids {
		steps = append(steps, mock.Event(id, "data "+id))
	}
	return steps
}

func script(parts ...[]mock.Step) *mock.Feed { return mock.NewFeed(slices.Concat(parts...)...) }

func steps(s ...mock.Step) []mock.Step { return s }

// unavailable asks to come back in ten minutes.
var unavailable = mock.Status(503, http.Header{"Retry-After": {"600"}})

func want[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestReconnectResumesAfterTheLastReceivedEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Drop(), mock.Refuse(), mock.Status(503)), events("4"),
			steps(mock.End()), events("5"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		got, end := data(t, sub, 0)
		if end != nil {
			t.Errorf("the loop ended with %v, want no error for a feed that is complete", end)
		}
		want(t, "events", got, []string{"data 1", "data 2", "data 3", "data 4", "data 5"})
		want(t, "tokens", tokens(feed), []string{"", "3", "3", "3", "4", "5"}[:len(tokens(feed))])
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRestartResumesAfterTheLastAcknowledgedEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3", "4"))
		o := &client.Options{Name: "n", Store: mock.NewStore()}
		sub := subscribe(t, feed, o)
		var evs []client.Event
		for range 4 {
			ev, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			evs = append(evs, ev)
		}
		for _, i := range []int{3, 0, 2} { // not 1: it is what holds the position
			if err := evs[i].Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		feed.Publish(mock.Complete())
		sub = subscribe(t, feed, o)
		got, end := data(t, sub, 0)
		if end != nil {
			t.Error(end)
		}
		want(t, "events after the restart", got, []string{"data 2", "data 3", "data 4"})
		want(t, "tokens", tokens(feed)[:2], []string{"", "1"})
		sub.Close()
		// Everything is acknowledged now, so a third process sees nothing.
		sub = subscribe(t, feed, o)
		if got, _ := data(t, sub, 0); len(got) > 0 {
			t.Errorf("a third process got %v", got)
		}
		sub.Close()
	})
}

func TestEventWithoutTokenHoldsItsPlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "", ""), steps(mock.Drop()), events("2"))
		o := &client.Options{Name: "n", Store: mock.NewStore()}
		sub := subscribe(t, feed, o)
		// Resuming after 1 brings the two without an id again.
		for i, token := range []string{"1", "1", "1", "1", "1", "2"} {
			ev, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if ev.Token != token {
				t.Errorf("event %d has token %q, want %q", i, ev.Token, token)
			}
			if i == 0 || i == 5 {
				ev.Ack() // those in the middle are not
			}
		}
		sub.Close()
		sub = subscribe(t, feed, o)
		defer sub.Close()
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := tokens(feed); got[len(got)-1] != "1" {
			t.Errorf("restarted from %q, want 1", got[len(got)-1])
		}
	})
}

func TestPositionWithoutEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1"), steps(mock.Position("7"), mock.End(), mock.Complete()))
		o := &client.Options{Name: "n", Store: mock.NewStore()}
		sub := subscribe(t, feed, o)
		if got, err := data(t, sub, 0); len(got) != 1 || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
		sub.Close()
		want(t, "tokens", tokens(feed), []string{"", "7"})
		if rec := readRecord(t, o.Store.(*mock.Store)); rec.Token != "7" {
			t.Errorf("stored token %q, want 7", rec.Token)
		}
	})
}

func TestStartAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		drained := subscribe(t, feed, nil)
		data(t, drained, 0)
		drained.Close()
		o := &client.Options{Name: "n", Store: mock.NewStore(), StartAfter: "1"}
		sub := subscribe(t, feed, o)
		got, _ := data(t, sub, 1)
		want(t, "first start", got, []string{"data 2"})
		sub.Close()
		sub = subscribe(t, feed, o)
		got, _ = data(t, sub, 0)
		want(t, "restart: the Store wins", got, []string{"data 3"})
		sub.Close()
	})
}

func TestLeavingTheBodyDoesNotAcknowledge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		for ev := range sub.Events() {
			if ev.ID == "2" {
				break
			}
		}
		func() {
			defer func() { recover() }()
			for ev := range sub.Events() {
				if ev.ID != "2" || ev.Attempt != 2 {
					t.Errorf("after break: event %s, attempt %d; want 2, 2", ev.ID, ev.Attempt)
				}
				panic("in the body")
			}
		}()
		got, _ := data(t, sub, 0)
		want(t, "after the panic", got, []string{"data 2", "data 3"})
	})
}

func TestNack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2"), steps(mock.Complete()))
		refusal := errors.New("not now")
		var traced error
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{
			Nacked: func(_ client.Event, err error) { traced = err },
		}})
		defer sub.Close()
		start := time.Now()
		var at []time.Duration
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.ID == "1" {
				at = append(at, time.Since(start))
				if ev.Attempt < 4 {
					ev.Nack(refusal) // the body finishing must not undo this
				}
			}
		}
		want(t, "event 1 was handed out at", at, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second})
		if traced != refusal {
			t.Errorf("traced %v", traced)
		}
		if s := sub.Stats(); s.Nacked != 3 || s.Acked != 2 {
			t.Errorf("stats: %d nacked, %d acked", s.Nacked, s.Acked)
		}
	})
}

// TestAttemptsOfTheSender refuses events whose sender has counted its deliveries, and one
// after them in the same slot, whose sender has not.
func TestAttemptsOfTheSender(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := &messages{{Data: []byte("a"), Attempt: 3}, {Data: []byte("b")}, {Data: []byte("c"), Attempt: -1}}
		for range 64 {
			*feed = append(*feed, transport.Message{Data: []byte("d"), Attempt: 1})
		}
		sub := subscribe(t, feed, &client.Options{Buffer: 4})
		defer sub.Close()
		var got []int
		for ev, err := range sub.Events() {
			switch data := string(ev.Data); {
			case err != nil:
				t.Fatal(err)
			case data != "d":
				if got = append(got, ev.Attempt); len(got) <= 3 {
					ev.Nack(errors.New("not now"))
				}
			case ev.Attempt != 1:
				t.Fatalf("attempt %d of an event that is new", ev.Attempt)
			}
		}
		want(t, "attempts of a, b and c, twice", got, []int{3, 1, 1, 4, 2, 2})
	})
}

func TestBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Pause(time.Second)), events("4"), steps(mock.Pause(time.Minute)),
			events("5"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		var got []string
		start := time.Now()
		for batch, err := range sub.Batches(3, 10*time.Second) {
			if err != nil {
				t.Fatal(err)
			}
			ids := ""
			for _, ev := range batch {
				ids += ev.ID
			}
			got = append(got, fmt.Sprintf("%s@%v", ids, time.Since(start)))
		}
		want(t, "batches", got, []string{"123@0s", "4@11s", "5@1m1s"})
	})
}

func TestBatchDoesNotWaitForWhatCannotCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3", "4"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{BufferBytes: len("data 1data 2")})
		defer sub.Close()
		start := time.Now()
		for batch, err := range sub.Batches(100, time.Hour) {
			if err != nil || len(batch) != 2 {
				t.Fatalf("batch of %d, %v; want the two events that the buffer holds", len(batch), err)
			}
			if batch[1].ID == "4" {
				break
			}
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("waited %v for a batch that could not grow", d)
		}
	})
}

func TestLeavingABatchDoesNotAcknowledge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		for batch := range sub.Batches(2, time.Second) {
			batch[0].Ack()
			batch[0] = client.Event{}
			break
		}
		got, _ := data(t, sub, 0)
		want(t, "after the batch", got, []string{"data 2", "data 3"})
	})
}

func TestTransientFailuresStayOutOfTheLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(steps(mock.Refuse(), mock.Status(503), mock.Status(429), mock.Status(500)), events("1"),
			steps(mock.Drop(), mock.Refuse()), events("2"), steps(mock.Complete()))
		var failures []string
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{
			Disconnected: func(d client.DisconnectInfo) { failures = append(failures, d.Class.String()) },
		}})
		got, end := data(t, sub, 0)
		sub.Close()
		if end != nil {
			t.Error(end)
		}
		want(t, "events", got, []string{"data 1", "data 2"})
		if len(failures) < 6 {
			t.Errorf("trace saw %v, want every failure", failures)
		}
	})
}

func TestStopError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Drop(), mock.Status(503), mock.Status(401)))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		synctest.Wait()
		time.Sleep(time.Hour) // the end comes before the consumer does
		got, end := data(t, sub, 0)
		want(t, "what was received before the end", got, []string{"data 1", "data 2", "data 3"})
		var stop *client.StopError
		var status interface{ StatusCode() int }
		if !errors.As(end, &stop) || !errors.As(end, &status) || status.StatusCode() != 401 {
			t.Fatalf("the loop ended with %v, want a StopError with the 401", end)
		}
		if stop.Attempts < 2 || stop.Elapsed <= 0 {
			t.Errorf("%d attempts in %v", stop.Attempts, stop.Elapsed)
		}
		if _, err := sub.Next(t.Context()); !errors.As(err, &stop) {
			t.Errorf("Next after the end: %v", err)
		}
	})
}

func TestEndsOfTheContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		sub, err := client.Subscribe(ctx, script(events("1")), nil)
		if err != nil {
			t.Fatal(err)
		}
		for ev, err := range sub.Events() {
			if err != nil {
				if err != cause {
					t.Errorf("the loop ended with %v, want the context's cause", err)
				}
				break
			}
			if ev.ID == "1" {
				cancel(cause)
			}
		}
		if _, err := sub.Next(t.Context()); err != cause {
			t.Errorf("Next: %v", err)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestNextIsBoundedByItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(steps(mock.Pause(time.Minute)), events("1")), nil)
		defer sub.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Next: %v", err)
		}
		ev, err := sub.Next(t.Context())
		if err != nil || ev.ID != "1" {
			t.Errorf("the wait that ended took the event along: %v, %v", ev.ID, err)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1", "2")), nil)
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := data(t, sub, 0)
			ended <- err
		}()
		for range 3 {
			go sub.Close()
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the loop ended with %v", err)
		}
		if _, err := sub.Next(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Next: %v", err)
		}
		if err := ev.Ack(); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Ack: %v", err)
		}
		if err := sub.Commit(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Commit: %v", err)
		}
	})
}

func TestReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1"))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		start := time.Now()
		data(t, sub, 1)
		sub.Reconnect()
		synctest.Wait()
		if len(tokens(feed)) != 2 || time.Since(start) != 0 {
			t.Fatalf("%d attempts after %v, want a second one at once", len(tokens(feed)), time.Since(start))
		}
		feed.Publish(append(steps(mock.Drop(), unavailable), events("2")...)...)
		time.Sleep(time.Minute) // backing off for ten minutes by now
		if s := sub.Stats().State; s != client.StateBackingOff {
			t.Fatalf("state %v", s)
		}
		sub.Reconnect()
		got, _ := data(t, sub, 1)
		want(t, "event", got, []string{"data 2"})
		if d := time.Since(start); d != time.Minute {
			t.Errorf("resumed after %v, want at once", d)
		}
	})
}

// TestEndsInEveryState closes, and ends the context, in each state that a subscription
// can be in: it takes at most a second and leaves no goroutine, or the bubble panics.
func TestEndsInEveryState(t *testing.T) {
	states := []struct {
		name  string
		feed  func() transport.Transport
		store func(*mock.Store)
		full  bool
		want  client.State
	}{
		{name: "connecting", feed: func() transport.Transport { return deaf{} }, want: client.StateConnecting},
		{name: "reading", feed: func() transport.Transport { return script(events("1")) }, want: client.StateLive},
		{name: "backing off", feed: func() transport.Transport {
			return script(events("1"), steps(mock.Drop(), unavailable))
		}, want: client.StateBackingOff},
		{name: "full buffer", feed: func() transport.Transport { return script(events("1", "2", "3", "4")) },
			full: true, want: client.StateFull},
		{name: "saving", feed: func() transport.Transport { return script(events("1", "2")) },
			store: func(s *mock.Store) { s.OnSave(&mock.Fault{Count: -1, Delay: time.Hour}) }, want: client.StateLive},
		{name: "ended", feed: func() transport.Transport { return script(events("1"), steps(mock.Status(401))) },
			want: client.StateEnded},
	}
	for _, st := range states {
		for _, how := range []string{"Close", "context"} {
			t.Run(st.name+"/"+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					store := mock.NewStore()
					o := &client.Options{Name: "n", Store: store}
					if st.full {
						o.Buffer = 2
					}
					sub, err := client.Subscribe(ctx, st.feed(), o)
					if err != nil {
						t.Fatal(err)
					}
					if st.store != nil {
						st.store(store)
						if _, err := data(t, sub, 1); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(10 * time.Second)
					if s := sub.Stats().State; s != st.want {
						t.Fatalf("state %v, want %v", s, st.want)
					}
					start := time.Now()
					if how == "context" {
						cancel()
						for {
							if _, err := sub.Next(t.Context()); err != nil {
								break
							}
						}
						time.Sleep(time.Second)
						synctest.Wait()
						if n := bubbleGoroutines(); n > 0 {
							t.Errorf("%d goroutines a second after the context ended", n)
						}
						start = time.Now()
					}
					err = sub.Close()
					if d := time.Since(start); d > time.Second {
						t.Errorf("Close took %v", d)
					}
					if st.store != nil && err == nil {
						t.Error("Close reports no error although nothing could be saved")
					}
				})
			})
		}
	}
}

// deaf accepts an attempt to connect and never answers.
type deaf struct{}

func (deaf) Validate() error { return nil }

func (deaf) Open(ctx context.Context, _ string) (*transport.Session, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// bubbleGoroutines counts the goroutines in the caller's bubble that run code of package
// client, or that it has started.
func bubbleGoroutines() int {
	buf := make([]byte, 1<<16)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := strings.Split(string(buf), "\n\n") // the caller's is the first
	bubble := regexp.MustCompile(`synctest bubble \d+`).FindString(stacks[0])
	n := 0
	for _, g := range stacks[1:] {
		head, frames, _ := strings.Cut(g, "\n")
		if strings.Contains(head, bubble+"]") || strings.Contains(head, bubble+",") {
			if strings.Contains(frames, "steadfeed/client.") {
				n++
			}
		}
	}
	return n
}

// TestOneStandingGoroutine counts the goroutines that run code of package client in this
// bubble, which is a number of its own in each of their stacks.
func TestOneStandingGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1")), &client.Options{Name: "n", Store: mock.NewStore()})
		defer sub.Close()
		data(t, sub, 1)
		sub.Commit(t.Context())
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := bubbleGoroutines(); n != 1 {
			t.Errorf("%d goroutines for an idle subscription, want 1", n)
		}
	})
}

func TestBackoffIsAwareOfProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// Two hundred connections that end at once with nothing.
		var s []mock.Step
		for range 200 {
			s = append(s, mock.End())
		}
		feed := mock.NewFeed(s...)
		var delays []time.Duration
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{
			Disconnected: func(d client.DisconnectInfo) { delays = append(delays, d.Delay) },
		}})
		time.Sleep(time.Hour)
		n := len(feed.Attempts())
		sub.Close()
		// Full jitter up to a cap of 30 s is 15 s in the mean: about 240 an hour.
		if n > 201 || n < 100 {
			t.Errorf("%d attempts in an hour", n)
		}
		var last time.Duration
		for _, d := range delays[len(delays)-20:] {
			last = max(last, d)
		}
		if last < 15*time.Second {
			t.Errorf("the delays did not escalate: %v at most", last)
		}
	})
	bubble(t, func(t *testing.T) {
		// A server that ends each connection after ten events is healthy.
		var s []mock.Step
		for i := range 1000 {
			s = append(s, mock.Event(fmt.Sprint(i), "x"))
			if i%10 == 9 {
				s = append(s, mock.End())
			}
		}
		feed := mock.NewFeed(append(s, mock.Complete())...)
		start := time.Now()
		sub := subscribe(t, feed, nil)
		got, _ := data(t, sub, 0)
		sub.Close()
		if d := time.Since(start); len(got) != 1000 || d > 2*time.Minute {
			t.Errorf("%d events in %v, want 1000 with at most a second between connections", len(got), d)
		}
	})
}

// endless is a connection that always has another event.
type endless struct{ reads *int }

func (e endless) Validate() error { return nil }

func (e endless) Open(context.Context, string) (*transport.Session, error) {
	return &transport.Session{Conn: e, Resumes: true}, nil
}

func (e endless) Read(m *transport.Message) (err error) {
	*m, err = e.message()
	return err
}

func (e endless) message() (transport.Message, error) {
	*e.reads++
	return transport.Message{Data: make([]byte, 100), ID: fmt.Sprint(*e.reads), Token: fmt.Sprint(*e.reads), More: true}, nil
}

func (e endless) Close() error { return nil }

func TestFullBufferStopsReading(t *testing.T) {
	for name, o := range map[string]client.Options{
		"by count": {Buffer: 10},
		"by bytes": {BufferBytes: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				reads := 0
				sub := subscribe(t, endless{&reads}, &o)
				synctest.Wait()
				if s := sub.Stats(); reads != 11 || s.Buffered != 10 || s.State != client.StateFull {
					t.Fatalf("%d messages read, %d buffered, %v; want one more than fits", reads, s.Buffered, s.State)
				}
				evs := []client.Event{}
				for range 3 {
					ev, _ := sub.Next(t.Context())
					evs = append(evs, ev)
				}
				synctest.Wait()
				if reads != 11 {
					t.Errorf("read on although nothing is acknowledged")
				}
				evs[0].Ack()
				synctest.Wait()
				if reads != 12 {
					t.Errorf("%d messages read after one ack, want 12", reads)
				}
				sub.Close()
			})
		})
	}
}

// TestReconnectWhileFull drops the connection while a message waits for space: it is in
// no buffer then, so the next connection has to bring it again.
func TestReconnectWhileFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Buffer: 1, Dedupe: 10})
		defer sub.Close()
		synctest.Wait()
		sub.Reconnect()
		synctest.Wait()
		got, _ := data(t, sub, 0)
		want(t, "events", got, []string{"data 1", "data 2", "data 3"})
		want(t, "tokens", tokens(feed)[:2], []string{"", "1"})
	})
}

func TestSkip(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "bookmark 2", "3", "bookmark 4"), steps(mock.End(), mock.Complete()))
		o := &client.Options{Name: "n", Store: mock.NewStore(),
			Skip: func(ev client.Event) bool { return strings.HasPrefix(ev.ID, "bookmark") }}
		sub := subscribe(t, feed, o)
		got, _ := data(t, sub, 0)
		s := sub.Stats()
		sub.Close()
		want(t, "events", got, []string{"data 1", "data 3"})
		want(t, "tokens", tokens(feed), []string{"", "bookmark 4"})
		if s.Skipped != 2 || s.Received != 4 {
			t.Errorf("stats: %d of %d skipped", s.Skipped, s.Received)
		}
		if rec := readRecord(t, o.Store.(*mock.Store)); rec.Token != "bookmark 4" {
			t.Errorf("stored token %q", rec.Token)
		}
	})
}

func TestDedupe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2"), steps(mock.End()), events("1", "2", "3", "", "", "1", "4", "1"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Dedupe: 3})
		got, _ := data(t, sub, 0)
		s := sub.Stats()
		sub.Close()
		want(t, "events", got, []string{"data 1", "data 2", "data 3", "data ", "data ", "data 4", "data 1"})
		if s.Duplicates != 3 {
			t.Errorf("%d duplicates counted", s.Duplicates)
		}
	})
}

func TestConfiguration(t *testing.T) {
	_, err := client.Subscribe(t.Context(), nil, &client.Options{
		Store: mock.NewStore(), Buffer: -1, BufferBytes: -2, Dedupe: -3,
		Retry: retry.Policy{Base: -1},
	})
	var config *client.ConfigError
	if !errors.As(err, &config) {
		t.Fatalf("Subscribe: %v", err)
	}
	for _, field := range []string{"src", "Options.Name", "Options.Buffer", "Options.BufferBytes", "Options.Dedupe", "Retry.Base"} {
		if !slices.ContainsFunc(config.Problems, func(p error) bool { return strings.Contains(p.Error(), field) }) {
			t.Errorf("no problem names %s: %v", field, err)
		}
	}
	if _, err := client.Subscribe(t.Context(), &transport.HTTP{URL: "not a url\x00", MaxFrame: 1}, nil); !errors.As(err, &config) {
		t.Errorf("a transport's problems: %v", err)
	}
}

// TestProblemsOfATransport joins errors in the ways that a Validate may.
func TestProblemsOfATransport(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for name, tt := range map[string]struct {
		err  error
		want []string
	}{
		"one":         {a, []string{"a"}},
		"joined":      {errors.Join(a, b), []string{"a", "b"}},
		"joined join": {errors.Join(errors.Join(a, b), c), []string{"a", "b", "c"}},
		"wrapped":     {fmt.Errorf("mine: %w", errors.Join(a, b)), []string{"mine: a\nb"}},
		"two verbs":   {fmt.Errorf("%w beside %w", a, b), []string{"a beside b"}},
	} {
		_, err := client.Subscribe(t.Context(), invalid{err: tt.err}, nil)
		var config *client.ConfigError
		if !errors.As(err, &config) {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, p := range config.Problems {
			got = append(got, p.Error())
		}
		want(t, name, got, tt.want)
	}
}

type invalid struct {
	deaf
	err error
}

func (i invalid) Validate() error { return i.err }

var _ io.Closer = (*client.Subscription)(nil)
