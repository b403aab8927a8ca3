package client_test

import (
	"context"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestRestartResumesAfterTheLastAcknowledgedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3", "4"))
		o := &client.Options{Name: "n", Store: new(mock.Store)}
		sub := subscribe(t, feed, o)
		var evs []client.Event
		for range 4 {
			ev, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			evs = append(evs, ev)
		}
		for _, i := range []int{3, 0, 2} { // not 1, which holds the position
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
			t.Errorf("third process: got %v, want nothing", got)
		}
		sub.Close()
	})
}

func TestLoopEndsWithTheCauseOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
					t.Errorf("got the end %v, want the cause of the context", err)
				}
				break
			}
			if ev.ID == "1" {
				cancel(cause)
			}
		}
		if _, err := sub.Next(t.Context()); err != cause {
			t.Errorf("Next: got %v, want %v", err, cause)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseEndsTheLoopWithoutAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got the end %v, want none", err)
		}
		if _, err := sub.Next(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Next: got %v, want %v", err, client.ErrClosed)
		}
		if err := ev.Ack(); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Ack: got %v, want %v", err, client.ErrClosed)
		}
		if err := sub.Commit(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Commit: got %v, want %v", err, client.ErrClosed)
		}
	})
}

// Close, and the end of the context, take at most a second in each state and leave no goroutine, or
// the bubble panics.
func TestCloseInEveryState(t *testing.T) {
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
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					store := new(mock.Store)
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
						t.Fatalf("got state %v, want %v", s, st.want)
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
							t.Errorf("got %d goroutines a second after the context ended, want none", n)
						}
						start = time.Now()
					}
					err = sub.Close()
					if d := time.Since(start); d > time.Second {
						t.Errorf("Close took %v, want at most 1s", d)
					}
					if st.store != nil && err == nil {
						t.Error("Close without a save: got nil, want an error")
					}
				})
			})
		}
	}
}

// bubbleGoroutines counts the goroutines in the caller's bubble that run code of package client or
// were started by it.
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
	stacks := strings.Split(string(buf), "\n\n") // the caller's comes first
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

func TestSubscriptionHasOneStandingGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1")), &client.Options{Name: "n", Store: new(mock.Store)})
		defer sub.Close()
		data(t, sub, 1)
		sub.Commit(t.Context())
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := bubbleGoroutines(); n != 1 {
			t.Errorf("got %d goroutines for an idle subscription, want 1", n)
		}
	})
}

// A delivery is being handled, so Close waits for time to pass. The second Close must not stop the
// clock of the bubble.
func TestCloseFromTwoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook.Receiver{Provider: provider.GitHub("secret")}
		srv := mock.NewServer(hook)
		defer srv.Close()
		sub := subscribe(t, hook, nil)
		time.Sleep(time.Second)
		github := &sender.Client{Provider: provider.GitHub("secret"), URL: srv.URL, Client: srv.Client()}
		var group sync.WaitGroup
		group.Go(func() { github.Post(context.Background(), sender.Delivery{ID: "1", Body: []byte(`{}`)}) })
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			group.Go(func() { sub.Close() })
		}
		group.Wait()
	})
}

func TestCloseFromSeveralGoroutinesReturnsTheSameError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1")), named(store))
		data(t, sub, 1)
		down := errors.New("database is down")
		store.OnSave(&mock.Fault{Count: -1, Delay: 100 * time.Millisecond, Err: down})
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if err := sub.Close(); !errors.Is(err, down) {
					t.Errorf("Close: got %v, want %v", err, down)
				}
			})
		}
		group.Wait()
	})
}

// The end of the context lets the body finish and acknowledge its event. Close does not wait for
// it.
func TestRunningBodyIsFinishedAtTheEnd(t *testing.T) {
	stop := errors.New("SIGTERM")
	for _, closes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := new(mock.Store)
			ctx, cancel := context.WithCancelCause(t.Context())
			sub, err := client.Subscribe(ctx, script(events("1", "2", "3")), named(store))
			if err != nil {
				t.Fatal(err)
			}
			var seen []string
			var end error
			var closing sync.WaitGroup
			for ev, err := range sub.Events() {
				if err != nil {
					end = err
					break
				}
				seen = append(seen, ev.ID)
				if ev.ID != "2" {
					continue
				}
				if closes {
					closing.Go(func() { sub.Close() })
				} else {
					cancel(stop)
				}
				time.Sleep(time.Minute) // the work on event 2
			}
			closing.Wait()
			if err := sub.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			want(t, "events", seen, []string{"1", "2"})
			token := readRecord(t, store).Token
			switch {
			case closes && (end != nil || token != "1"):
				t.Errorf("closed: got the end %v with %q stored, want nil and 1", end, token)
			case !closes && (end != stop || token != "2"):
				t.Errorf("context ended: got the end %v with %q stored, want its cause and 2", end, token)
			}
			cancel(nil)
		})
	}
}
