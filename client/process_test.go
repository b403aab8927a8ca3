package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// keyOf returns the first letter of an event's data.
func keyOf(ev client.Event) string { return string(ev.Data[:1]) }

// named events: the data is the id.
func feedOf(ids ...string) (steps []mock.Step) {
	for _, id := range ids {
		steps = append(steps, mock.Event(id, id))
	}
	return steps
}

// A diary records what handlers do, with the time since its start.
type diary struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("%v ", time.Since(d.start))+fmt.Sprintf(format, args...))
}

// of returns the lines that contain part.
func (d *diary) of(part string) (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lines {
		if strings.Contains(l, part) {
			lines = append(lines, l)
		}
	}
	return lines
}

func TestProcessAcknowledges(t *testing.T) {
	for _, workers := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			store := new(mock.Store)
			sub := subscribe(t, script(feedOf("a1", "a2", "b1"), steps(mock.Complete())), named(store))
			d := &diary{start: time.Now()}
			err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
				d.add("%s", ev.ID)
				return nil
			}, &client.ProcessOptions{Workers: workers})
			if got := d.of(""); err != nil || len(got) != 3 || workers == 0 && !slices.IsSorted(got) {
				t.Errorf("%d workers: got %v after %q, want nil after three events", workers, err, got)
			}
			if err := sub.Close(); err != nil || readRecord(t, store).Token != "b1" {
				t.Errorf("Close: got %v, want nil and token b1 stored", err)
			}
		})
	}
}

// A refused event blocks its key, and neither the worker nor the other keys.
func TestProcessKeepsTheOrderOfAKey(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			sub := subscribe(t, script(feedOf("a1", "a2", "b1", "a3", "b2", "c1"), steps(mock.Complete())), nil)
			defer sub.Close()
			d := &diary{start: time.Now()}
			err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
				d.add("%s#%d", ev.ID, ev.Attempt)
				if ev.ID == "a1" && ev.Attempt < 3 {
					return errors.New("not yet")
				}
				return nil
			}, &client.ProcessOptions{Workers: workers, KeyOf: keyOf})
			if err != nil {
				t.Errorf("Process: %v", err)
			}
			want(t, fmt.Sprint(workers, " workers: key a"), d.of(" a"), []string{"0s a1#1", "1s a1#2", "3s a1#3", "3s a2#1", "3s a3#1"})
			want(t, fmt.Sprint(workers, " workers: key b"), d.of(" b"), []string{"0s b1#1", "0s b2#1"})
			want(t, fmt.Sprint(workers, " workers: key c"), d.of(" c"), []string{"0s c1#1"})
			if s := sub.Stats(); s.Acked != 6 || s.Nacked != 2 {
				t.Errorf("Stats: got %+v, want 6 acked, 2 nacked", s)
			}
		})
	}
}

// A dead-lettered event blocks its key until DeadLetter succeeds, and Process ends after it.
func TestProcessWaitsForDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &morgue{fails: 2, start: time.Now()}
		sub := subscribe(t, script(feedOf("a1", "a2", "b1"), steps(mock.Complete())), &client.Options{DeadLetter: m.put})
		defer sub.Close()
		d := &diary{start: time.Now()}
		if err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
			if d.add("%s", ev.ID); ev.ID != "b1" {
				return client.Terminal(errPoison)
			}
			return nil
		}, &client.ProcessOptions{Workers: 2, KeyOf: keyOf}); err != nil {
			t.Errorf("Process: %v", err)
		}
		want(t, "key a", d.of(" a"), []string{"0s a1", "3s a2"})
		want(t, "key b", d.of(" b"), []string{"0s b1"})
		want(t, "dead letters", m.log()[2:], []string{"a1#1@3s: it has no amount", "a2#1@3s: it has no amount"})
	})
}

func TestProcessEndsAtATerminalRefusal(t *testing.T) {
	for _, key := range []func(client.Event) string{nil, keyOf} {
		synctest.Test(t, func(t *testing.T) {
			store := new(mock.Store)
			sub := subscribe(t, script(feedOf("a1", "a2", "a3")), named(store))
			err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
				if ev.ID == "a2" {
					return client.Terminal(errPoison)
				}
				return nil
			}, &client.ProcessOptions{KeyOf: key})
			var refused *client.RefusedError
			if !errors.As(err, &refused) || refused.Event.ID != "a2" {
				t.Errorf("Process: got %v, want a RefusedError with a2", err)
			}
			if err := sub.Close(); err != nil || readRecord(t, store).Token != "a1" {
				t.Errorf("Close: got %v, want nil and token a1 stored", err)
			}
		})
	}
}

// Running handlers end on their own, with a context that goes on, and are acknowledged. Events that
// were taken and not started come in order, in the same attempt.
func TestProcessDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(feedOf("a1", "a2", "b1", "a3", "b2"), steps(mock.Complete())), nil)
		defer sub.Close()
		type ctxKey struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), ctxKey{}, "v"), time.Second)
		defer cancel()
		d := &diary{start: time.Now()}
		err := sub.Process(ctx, func(ctx context.Context, ev client.Event) error {
			if d.add("%s", ev.ID); ev.ID == "b1" {
				return client.RetryAfter(time.Hour, errPoison)
			}
			time.Sleep(time.Minute)
			if ctx.Err() != nil || ctx.Value(ctxKey{}) != "v" {
				t.Errorf("the handler's context: got %v, want the values of the call's and no end", ctx.Err())
			}
			return nil
		}, &client.ProcessOptions{Workers: 2, KeyOf: keyOf})
		if d := time.Since(d.start); err != nil || d != time.Minute {
			t.Errorf("Process: got %v after %v, want nil after 1m", err, d)
		}
		want(t, "handled", d.of(""), []string{"0s a1", "0s b1"})
		var rest []string
		for ev := range sub.Events() {
			rest = append(rest, fmt.Sprint(ev.ID, "#", ev.Attempt))
		}
		want(t, "left for others", rest, []string{"a2#1", "b1#2", "a3#1", "b2#1"})
	})
}

// Close ends the contexts of handlers, and nothing that they return counts.
func TestCloseEndsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(feedOf("a1", "b1")), named(store))
		time.AfterFunc(time.Minute, func() {
			if err := sub.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		err := sub.Process(t.Context(), func(ctx context.Context, ev client.Event) error {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), client.ErrClosed) {
				t.Errorf("cause: got %v, want ErrClosed", context.Cause(ctx))
			}
			if ev.ID == "a1" {
				return ctx.Err()
			}
			return nil
		}, &client.ProcessOptions{Workers: 2, KeyOf: keyOf})
		if err != nil {
			t.Errorf("Process: got %v, want nil", err)
		}
		if r := readRecord(t, store); r.Token != "" {
			t.Errorf("stored: got token %q, want none", r.Token)
		}
	})
}

func TestProcessEndsWithTheSubscription(t *testing.T) {
	stop := errors.New("SIGTERM")
	for name, c := range map[string]struct {
		ends string
		want error
	}{
		"the context of Subscribe ends": {"subscribe", stop},
		"both contexts end":             {"both", nil},
		"the feed fails":                {"feed", io.ErrUnexpectedEOF},
		"it has ended before":           {"before", stop},
		"the context has ended before":  {"call before", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := script(feedOf("a1"))
				if c.ends == "feed" {
					feed = script(feedOf("a1"), steps(mock.Drop(), mock.Status(503)))
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				o := &client.Options{}
				if c.ends == "feed" {
					o.Retry.MaxAttempts = 1
				}
				sub, err := client.Subscribe(ctx, feed, o)
				if err != nil {
					t.Fatal(err)
				}
				defer sub.Close()
				call, handled := t.Context(), 0
				switch c.ends {
				case "both":
					call = ctx
					fallthrough
				case "subscribe":
					time.AfterFunc(time.Second, func() { cancel(stop) })
				case "before":
					cancel(stop)
				case "call before":
					ended, cancel := context.WithCancel(call)
					cancel()
					call = ended
				}
				synctest.Wait()
				err = sub.Process(call, func(context.Context, client.Event) error { handled++; return nil }, nil)
				if c.want == nil && err != nil || !errors.Is(err, c.want) && c.ends != "feed" {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if stopped := (*client.StopError)(nil); c.ends == "feed" && !errors.As(err, &stopped) {
					t.Errorf("got %v, want a StopError", err)
				}
				if before := strings.HasSuffix(c.ends, "before"); before != (handled == 0) {
					t.Errorf("got %d events handled", handled)
				}
			})
		})
	}
}

// A panic, and runtime.Goexit, refuse the event.
func TestProcessContainsPanics(t *testing.T) {
	cause := errors.New("the cause")
	for _, key := range []func(client.Event) string{nil, keyOf} {
		for what, mistake := range map[string]func(){"panic": func() { panic(cause) }, "exit": runtime.Goexit} {
			synctest.Test(t, func(t *testing.T) {
				book := &logbook{}
				var reason error
				sub := subscribe(t, script(feedOf("a1", "a2"), steps(mock.Complete())), &client.Options{
					Logger: book.logger(), Trace: &client.Trace{Nacked: func(_ client.Event, err error) { reason = err }}})
				defer sub.Close()
				d := &diary{start: time.Now()}
				err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
					if d.add("%s#%d", ev.ID, ev.Attempt); ev.ID == "a1" && ev.Attempt == 1 {
						mistake()
					}
					return nil
				}, &client.ProcessOptions{KeyOf: key})
				order := []string{"0s a1#1", "0s a2#1", "1s a1#2"}
				if key != nil {
					order = []string{"0s a1#1", "1s a1#2", "1s a2#1"}
				}
				if want(t, what, d.of(""), order); err != nil {
					t.Errorf("%s: Process returned %v, want nil", what, err)
				}
				var p *client.PanicError
				if isPanic := what == "panic"; errors.As(reason, &p) != isPanic || isPanic && (p.Value != cause || !errors.Is(reason, cause) || !strings.Contains(string(p.Stack), "process_test.go")) {
					t.Errorf("%s: refused with %v, want the panic and its stack", what, reason)
				}
				if logged := slices.Contains(book.brief(), "ERROR handler panicked"); logged != (what == "panic") {
					t.Errorf("%s: got the log %q", what, book.brief())
				}
			})
		}
	}
}

// A handler that has acknowledged its event and calls runtime.Goexit does not block its key.
func TestExitOfAHandlerLeavesItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(feedOf("a1", "a2", "b1", "a3"), steps(mock.Complete())), nil)
		defer sub.Close()
		d := &diary{start: time.Now()}
		if err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
			if d.add("%s", ev.ID); ev.ID == "a1" {
				time.Sleep(time.Second)
				ev.Ack()
				runtime.Goexit()
			}
			return nil
		}, &client.ProcessOptions{Workers: 2, KeyOf: keyOf}); err != nil {
			t.Errorf("Process: %v", err)
		}
		want(t, "handled", d.of("a"), []string{"0s a1", "1s a2", "1s a3"})
	})
}

func TestProcessContainsAPanicOfKeyOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(feedOf("a1", "a2"), steps(mock.Complete())), nil)
		defer sub.Close()
		d, calls := &diary{start: time.Now()}, 0
		if err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
			d.add("%s#%d", ev.ID, ev.Attempt)
			return nil
		}, &client.ProcessOptions{KeyOf: func(ev client.Event) string {
			ev.Ack() // changes nothing
			if calls++; calls == 1 {
				panic("a mistake")
			}
			return ""
		}}); err != nil {
			t.Errorf("Process: %v", err)
		}
		want(t, "handled", d.of(""), []string{"0s a2#1", "1s a1#2"})
	})
}

// Events that wait for their key are in the buffer, which bounds them.
func TestProcessIsBoundedByTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		sub := subscribe(t, endless{&reads}, &client.Options{Buffer: 20})
		defer sub.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		handled := 0
		sub.Process(ctx, func(context.Context, client.Event) error { handled++; return errors.New("never") },
			&client.ProcessOptions{Workers: 3, KeyOf: func(client.Event) string { return "" }})
		if reads > 21 || handled > 70 {
			t.Errorf("got %d events read and %d calls, want at most 21 and one call a minute", reads, handled)
		}
	})
}

// Several calls and a loop share the events. None is lost, and none is handled twice.
func TestProcessBesideALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		for i := range 300 {
			ids = append(ids, fmt.Sprintf("%c%d", 'a'+i%7, i))
		}
		sub := subscribe(t, script(feedOf(ids...), steps(mock.Complete())), &client.Options{Buffer: 16})
		defer sub.Close()
		var mu sync.Mutex
		seen := make(map[string]int)
		see := func(ev client.Event) error {
			time.Sleep(time.Duration(len(ev.ID)) * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if ev.Attempt == 1 && ev.ID[len(ev.ID)-1] == '3' {
				return errors.New("not yet")
			}
			seen[ev.ID]++
			return nil
		}
		var consumers sync.WaitGroup
		for _, key := range []func(client.Event) string{nil, keyOf, keyOf} {
			consumers.Go(func() {
				if err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error { return see(ev) },
					&client.ProcessOptions{Workers: 2, KeyOf: key}); err != nil {
					t.Errorf("Process: %v", err)
				}
			})
		}
		consumers.Go(func() {
			for ev := range sub.Events() {
				if err := see(ev); err != nil {
					ev.Nack(err)
				}
			}
		})
		consumers.Wait()
		for _, id := range ids {
			if seen[id] != 1 {
				t.Errorf("event %s: got %d times, want once", id, seen[id])
			}
		}
	})
}

// An event that wakes a worker at the end of its call goes to another consumer.
func TestProcessPassesAnEventOnAtItsEnd(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			feed := make(chanFeed)
			ended := make(chan error)
			sub := subscribe(t, readHook{feed, cancel}, nil)
			defer sub.Close()
			go func() {
				ended <- sub.Process(ctx, func(context.Context, client.Event) error { return nil }, nil)
			}()
			synctest.Wait()
			taken, stop := context.WithTimeout(t.Context(), time.Hour)
			defer stop()
			waited := make(chan error)
			go func() {
				_, err := sub.Next(taken)
				waited <- err
			}()
			synctest.Wait()
			feed <- transport.Message{Data: []byte("a")}
			if err := <-ended; err != nil {
				t.Fatalf("Process: %v", err)
			}
			if sub.Stats().Acked == 1 { // Process was faster
				stop()
			}
			if err := <-waited; errors.Is(err, context.DeadlineExceeded) {
				t.Fatal("Next: got no event in an hour, want the one that Process has left")
			}
		})
	}
}

// readHook calls hook at the second Read, when the first message is published.
type readHook struct {
	chanFeed
	hook func()
}

func (f readHook) Open(ctx context.Context, token string) (*transport.Session, error) {
	s, err := f.chanFeed.Open(ctx, token)
	s.Conn = &hookedConn{Conn: s.Conn, hook: f.hook}
	return s, err
}

type hookedConn struct {
	transport.Conn
	hook  func()
	reads int
}

func (c *hookedConn) Read(m *transport.Message) error {
	if c.reads++; c.reads == 2 {
		c.hook()
	}
	return c.Conn.Read(m)
}

// A refused delivery is the sender's to repeat, and does not block its key.
func TestProcessOfAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, nil)
		outcomes := make(chan string, 2)
		for _, id := range []string{"a1", "a2"} {
			h.accept(t, transport.Message{ID: id, Data: []byte(id), Settle: func(err error) { outcomes <- fmt.Sprint(id, " ", err) }})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sub.Process(ctx, func(_ context.Context, ev client.Event) error {
			if ev.ID == "a1" {
				return errPoison
			}
			return nil
		}, &client.ProcessOptions{KeyOf: keyOf})
		want(t, "outcomes", []string{<-outcomes, <-outcomes}, []string{"a1 it has no amount", "a2 <nil>"})
	})
}

// An event that arrives when a blocked key becomes free wakes a second worker.
func TestProcessWakesAWorkerForEach(t *testing.T) {
	for _, policy := range []client.Overflow{client.OverflowBlock, client.OverflowDropOldest} {
		synctest.Test(t, func(t *testing.T) {
			feed := script(feedOf("a1"), steps(mock.Pause(time.Second)), feedOf("b1", "c1"), steps(mock.Complete()))
			sub := subscribe(t, feed, &client.Options{Overflow: policy})
			defer sub.Close()
			d := &diary{start: time.Now()}
			var first atomic.Bool
			sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
				d.add("%s", ev.ID)
				if !first.Swap(true) {
					return client.RetryAfter(time.Second, errPoison)
				}
				time.Sleep(time.Hour)
				return nil
			}, &client.ProcessOptions{Workers: 3, KeyOf: keyOf})
			if got := d.of("1s "); len(got) != 3 {
				t.Errorf("%q: got %q after one second, want three events at once", policy, got)
			}
		})
	}
}

func TestProcessValidatesItsArguments(t *testing.T) {
	sub := subscribe(t, script(), nil)
	defer sub.Close()
	var config *client.ConfigError
	err := sub.Process(nil, nil, &client.ProcessOptions{Workers: -1}) //lint:ignore SA1012 it is the mistake
	if !errors.As(err, &config) || len(config.Problems) != 3 || !strings.HasPrefix(err.Error(), "client: Process: ctx: is nil; handle: is nil; ProcessOptions.Workers: -1") {
		t.Errorf("got %v, want a ConfigError with three problems", err)
	}
}

// The feed ends with an error while one worker handles an event and another one waits. A refused event
// is left when the context ends: that is no end of the feed yet.
func TestProcessReportsTheEndAfterTheLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(feedOf("a1"), steps(mock.Pause(time.Second), mock.Status(401))), nil)
		defer sub.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := sub.Process(ctx, func(context.Context, client.Event) error {
			time.Sleep(10 * time.Second)
			return client.RetryAfter(time.Hour, errBusy)
		}, &client.ProcessOptions{Workers: 2})
		if err != nil {
			t.Errorf("Process: got %v at the end of its context, want nil: an event is left", err)
		}
		handled := 0
		err = sub.Process(t.Context(), func(context.Context, client.Event) error { handled++; return nil }, &client.ProcessOptions{Workers: 2})
		var stop *client.StopError
		if !errors.As(err, &stop) || handled != 1 {
			t.Errorf("Process: got %v after %d events, want a StopError after one", err, handled)
		}
	})
}
