package client_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// series returns n events, the first of which is number from, as everyWire needs them.
func series(from, n int) (steps []mock.Step) {
	for i := from; i < from+n; i++ {
		steps = append(steps, mock.Event(fmt.Sprint(i), fmt.Sprintf(`{"id":"%d"}`, i)))
	}
	return steps
}

// onEveryWire runs f in a bubble for each kind of wire.
func onEveryWire(t *testing.T, feed func() *mock.Feed, f func(t *testing.T, feed *mock.Feed, src transport.Transport, o client.Options)) {
	for name, wire := range everyWire {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := feed()
				src, stop, token := wire(feed)
				defer stop()
				f(t, feed, src, client.Options{TokenOf: token})
			})
		})
	}
}

// A follower handles events in a loop of its own.
type follower struct {
	sub  *client.Subscription
	took time.Duration // for an event
	over chan struct{} // closed at the end of the loop

	mu   sync.Mutex
	got  []string
	data []string
	end  error
}

func follow(sub *client.Subscription, took time.Duration) *follower {
	f := &follower{sub: sub, took: took, over: make(chan struct{})}
	go func() {
		defer close(f.over)
		for ev, err := range sub.Events() {
			f.mu.Lock()
			if f.end = err; err == nil {
				f.got = append(f.got, cmp.Or(ev.ID, client.Field("id")(ev)))
				f.data = append(f.data, string(ev.Data))
			}
			if ev.Gap != nil {
				f.got = append(f.got, "gap")
			}
			f.mu.Unlock()
			if f.took > 0 {
				time.Sleep(f.took)
			}
		}
	}()
	return f
}

func (f *follower) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// ended fails the test unless the loop ends now, without an error.
func (f *follower) ended(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case <-f.over:
		if f.end != nil {
			t.Errorf("the loop ended with %v, want no error", f.end)
		}
	default:
		t.Error("the loop goes on, want its end")
	}
}

func ids(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

// within returns a context with a deadline.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Drain hands out what is in the buffer, saves it, and leaves everything else to the next process.
func TestDrain(t *testing.T) {
	onEveryWire(t, func() *mock.Feed { return mock.NewFeed(series(1, 20)...) }, func(t *testing.T, feed *mock.Feed, src transport.Transport, o client.Options) {
		store := new(mock.Store)
		o.Name, o.Store, o.Buffer, o.CommitEvery = "n", store, 5, -1
		sub := subscribe(t, src, &o)
		f := follow(sub, time.Second)
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		was := sub.Stats()
		start := time.Now()
		if err := sub.Drain(t.Context()); err != nil {
			t.Errorf("Drain: got %v, want nil", err)
		}
		if d := time.Since(start); d != 4500*time.Millisecond {
			t.Errorf("Drain took %v, want the 4.5s of the events in the buffer", d)
		}
		f.ended(t)
		want(t, "events", f.seen(), ids(1, int(was.Acked)+was.Buffered))
		if r := readRecord(t, store); r.Token != "7" {
			t.Errorf("Drain has saved %q, want 7", r.Token)
		}
		if s := sub.Stats(); s.State != client.StateEnded || s.Buffered != 0 {
			t.Errorf("Stats: got %+v, want ended with nothing buffered", s)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		o.Buffer = 100
		next := subscribe(t, src, &o)
		rest := follow(next, 0)
		synctest.Wait()
		time.Sleep(time.Second)
		if err := next.Drain(t.Context()); err != nil {
			t.Errorf("Drain: got %v, want nil", err)
		}
		rest.ended(t)
		want(t, "events of the next process", rest.seen(), ids(8, 20))
		next.Close()
	})
}

// When its context ends, Drain returns, and both another Drain and Close still work.
func TestDrainIsBounded(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := new(mock.Store)
			feed := mock.NewFeed(series(1, 10)...)
			sub := subscribe(t, feed, &client.Options{Name: "n", Store: store, Buffer: 3})
			f := follow(sub, time.Hour)
			time.Sleep(time.Minute)
			start := time.Now()
			err := sub.Drain(within(t, 5*time.Second))
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
				t.Errorf("Drain: got %v after %v, want a DeadlineExceeded after 5s", err, time.Since(start))
			}
			if text := "client: not drained: context deadline exceeded (events not acknowledged: 3)"; err.Error() != text {
				t.Errorf("Drain: got %q, want %q", err, text)
			}
			synctest.Wait()
			if a := feed.Attempts(); len(a) != 1 || a[0].Ended.IsZero() {
				t.Errorf("got the attempts %+v, want one that has ended", a)
			}
			last := "3"
			if again {
				if err := sub.Drain(within(t, 3*time.Hour)); err != nil {
					t.Errorf("another Drain: got %v, want nil", err)
				}
				f.ended(t)
			} else {
				last = ""
			}
			start = time.Now()
			if err := sub.Close(); err != nil || time.Since(start) > time.Second {
				t.Errorf("Close: got %v after %v, want nil within a second", err, time.Since(start))
			}
			if r := readRecord(t, store); r.Token != last {
				t.Errorf("the record has %q, want %q", r.Token, last)
			}
			<-f.over
		})
	}
}

// Drain waits for refused events: those that are delivered again, and those that DeadLetter takes.
func TestDrainWaitsForRefusedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		store := new(mock.Store)
		sub := subscribe(t, mock.NewFeed(series(1, 4)...), &client.Options{Name: "n", Store: store,
			DeadLetter: func(context.Context, client.Event, error) error {
				if calls++; calls < 3 {
					return errors.New("not now")
				}
				return nil
			}})
		var handled []string
		done := make(chan error)
		go func() {
			done <- sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
				switch {
				case ev.ID == "2":
					return client.Terminal(errors.New("poison"))
				case ev.ID == "3" && ev.Attempt < 3:
					return errors.New("not yet")
				}
				handled = append(handled, ev.ID)
				return nil
			}, nil)
		}()
		synctest.Wait()
		start := time.Now()
		if err := sub.Drain(t.Context()); err != nil {
			t.Errorf("Drain: got %v, want nil", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("Drain took %v, want the 3s of two delays", d)
		}
		if err := <-done; err != nil {
			t.Errorf("Process: got %v, want nil", err)
		}
		want(t, "handled", handled, []string{"1", "4", "3"})
		if r := readRecord(t, store); r.Token != "4" || calls != 3 {
			t.Errorf("got %q saved after %d calls of DeadLetter, want 4 after 3", r.Token, calls)
		}
		sub.Close()
	})
}

// Drain ends a subscription that has nothing to hand out at once, whatever it is doing.
func TestDrainWhateverHappens(t *testing.T) {
	slow := func(ctx context.Context, _ client.Gap, _ func(transport.Message) error) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	fails := func(context.Context, client.Gap, func(transport.Message) error) (string, error) {
		return "", client.RetryAfter(time.Hour, errors.New("not now"))
	}
	late := &hub{delay: time.Second}
	for name, c := range map[string]struct {
		src    transport.Source
		o      client.Options
		paused bool
	}{
		"connecting":                    {src: deaf{}},
		"live":                          {src: mock.NewFeed()},
		"backing off":                   {src: mock.NewFeed(mock.Event("1", "1"), unavailable, unavailable)},
		"backfilling before it":         {src: mock.NewFeed(), o: client.Options{Backfill: slow}},
		"between two backfills":         {src: mock.NewFeed(), o: client.Options{Backfill: fails}},
		"paused":                        {src: mock.NewFeed(mock.Pause(time.Second), mock.Event("1", "1")), paused: true},
		"paused and connecting":         {src: deaf{}, paused: true},
		"a receiver":                    {src: &hub{}},
		"a receiver that is paused":     {src: &hub{}, paused: true},
		"a receiver that is connected":  {src: late},
		"a receiver that backfills":     {src: &hub{}, o: client.Options{Dedupe: 10, Backfill: slow}},
		"a receiver that cannot listen": {src: &hub{refuse: errors.New("not yet")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ends []error
				book := &logbook{}
				c.o.Logger, c.o.Trace = book.logger(), &client.Trace{Ended: func(err error) { ends = append(ends, err) }}
				sub := subscribe(t, c.src, &c.o)
				f := follow(sub, 0)
				if c.paused {
					sub.Pause()
				}
				if c.src != late {
					time.Sleep(2 * time.Second)
				}
				synctest.Wait()
				start := time.Now()
				if err := sub.Drain(t.Context()); err != nil {
					t.Errorf("Drain: got %v, want nil", err)
				}
				if d := time.Since(start); d > time.Second || d > 0 && c.src != late {
					t.Errorf("Drain took %v, want no time", d)
				}
				f.ended(t)
				sub.Pause()
				sub.Resume()
				sub.Reconnect()
				if err := sub.Drain(t.Context()); err != nil {
					t.Errorf("a second Drain: got %v, want nil", err)
				}
				if _, err := sub.Next(t.Context()); err != io.EOF {
					t.Errorf("Next: got %v, want io.EOF", err)
				}
				if s := sub.Stats().State; s != client.StateEnded {
					t.Errorf("got the state %v, want %v", s, client.StateEnded)
				}
				if len(ends) != 1 || ends[0] != nil {
					t.Errorf("Trace.Ended: got %v, want nil once", ends)
				}
				if lines := book.brief(); !slices.Contains(lines, "INFO draining") || lines[len(lines)-1] != "INFO ended" {
					t.Errorf("log: got %v, want draining and ended", lines)
				}
				if err := sub.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Drain of a subscription that has ended for another reason returns that.
func TestDrainAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := subscribe(t, script(steps(mock.Status(401), mock.Status(401))), nil)
		defer refused.Close()
		var stop *client.StopError
		if err := refused.WaitConnected(t.Context()); !errors.As(err, &stop) {
			t.Fatalf("got %v, want a StopError", err)
		}
		if err := refused.Drain(t.Context()); !errors.As(err, &stop) {
			t.Errorf("Drain after a StopError: got %v, want it", err)
		}

		complete := subscribe(t, script(events("1"), steps(mock.Complete())), nil)
		defer complete.Close()
		if got, err := data(t, complete, 0); len(got) != 1 || err != nil {
			t.Fatalf("got %v, %v, want one event", got, err)
		}
		if err := complete.Drain(t.Context()); err != nil {
			t.Errorf("Drain of a complete feed: got %v, want nil", err)
		}

		terminal := subscribe(t, script(events("1")), nil)
		defer terminal.Close()
		ev := next(t, terminal)
		time.AfterFunc(time.Second, func() { ev.Nack(client.Terminal(nil)) })
		var refusal *client.RefusedError
		if err := terminal.Drain(t.Context()); !errors.As(err, &refusal) {
			t.Errorf("Drain and a permanent refusal: got %v, want a RefusedError", err)
		}

		closed := subscribe(t, script(events("1")), nil)
		next(t, closed)
		time.AfterFunc(time.Second, func() { closed.Close() })
		if err := closed.Drain(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Drain and Close: got %v, want ErrClosed", err)
		}
		closed.Close()
	})
}

// Drain returns the failure of its save, and another Drain or Close saves again.
func TestDrainThatCannotSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1")), &client.Options{Name: "n", Store: store, CommitEvery: -1})
		f := follow(sub, 0)
		synctest.Wait()
		broken := errors.New("the disk is full")
		store.OnSave(&mock.Fault{Err: broken})
		if err := sub.Drain(t.Context()); !errors.Is(err, broken) {
			t.Errorf("Drain: got %v, want %v", err, broken)
		}
		f.ended(t)
		if err := sub.Drain(t.Context()); err != nil {
			t.Errorf("a second Drain: got %v, want nil", err)
		}
		if r := readRecord(t, store); r.Token != "1" {
			t.Errorf("the record has %q, want 1", r.Token)
		}
		sub.Close()
	})
}

// Senders that wait are answered when their events are settled; new ones are refused, and repeat.
func TestDrainOfAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, nil)
		var first, second, third request
		h.accept(t, first.message("1"), second.message("2"))
		batches := make(chan int, 10)
		go func() {
			defer close(batches)
			for batch := range sub.Batches(10, time.Hour) {
				time.Sleep(10 * time.Second)
				batches <- len(batch)
			}
		}()
		synctest.Wait()
		start := time.Now()
		drained := make(chan error)
		go func() { drained <- sub.Drain(t.Context()) }()
		time.Sleep(time.Second)
		h.reject(t, 0, transport.ErrClosed, third.message("3"))
		h.reject(t, 0, transport.ErrClosed)
		if n := h.listener().closes.Load(); n != 0 {
			t.Error("the Listener is closed although senders wait")
		}
		if err := <-drained; err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("Drain: got %v after %v, want nil after 10s: a batch does not wait for more", err, time.Since(start))
		}
		first.is(t, "after Drain", nil)
		second.is(t, "after Drain", nil)
		third.is(t, "after Drain")
		if n, ok := <-batches; n != 2 || !ok {
			t.Errorf("got a batch of %d, want 2", n)
		}
		if _, ok := <-batches; ok {
			t.Error("the loop goes on, want its end")
		}
		if n := h.listener().closes.Load(); n == 0 {
			t.Error("the Listener is open after Drain")
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A webhook that was accepted is answered with success after Drain, and one that comes later with 503.
// The Receiver can be used again.
func TestDrainOfAWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook.Receiver{Provider: &provider.Provider{Name: "test", Scheme: provider.Unsigned{}}}
		srv := mock.NewServer(hook)
		defer srv.Close()
		post := func(body string) *http.Response {
			resp, err := srv.Client().Post(srv.URL, "application/json", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return &http.Response{}
			}
			resp.Body.Close()
			return resp
		}
		for range 2 {
			sub := subscribe(t, hook, nil)
			if err := sub.WaitConnected(t.Context()); err != nil {
				t.Fatal(err)
			}
			answers := make(chan int, 1)
			go func() { answers <- post("1").StatusCode }()
			ev := next(t, sub)
			drained := make(chan error, 1)
			go func() { drained <- sub.Drain(t.Context()) }()
			time.Sleep(5 * time.Second)
			if r := post("2"); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
				t.Errorf("while draining: got %d, %v, want 503 with Retry-After", r.StatusCode, r.Header)
			}
			ev.Ack()
			if code := <-answers; code/100 != 2 {
				t.Errorf("the accepted delivery: got %d, want 2xx", code)
			}
			if err := <-drained; err != nil {
				t.Errorf("Drain: got %v, want nil", err)
			}
			if r := post("3"); r.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("after Drain: got %d, want 503", r.StatusCode)
			}
			sub.Close()
		}
	})
}

// Drain ends a subscription whose connection is closed until there is space.
func TestDrainWhileParked(t *testing.T) {
	onEveryWire(t, func() *mock.Feed { return mock.NewFeed(series(1, 5)...) }, func(t *testing.T, feed *mock.Feed, src transport.Transport, o client.Options) {
		o.Buffer = 2
		sub := subscribe(t, src, &o)
		defer sub.Close()
		f := follow(sub, time.Minute)
		time.Sleep(30 * time.Second)
		if err := sub.Drain(within(t, time.Hour)); err != nil {
			t.Errorf("Drain: got %v, want nil", err)
		}
		f.ended(t)
		want(t, "events", f.seen(), ids(1, 2))
	})
}
