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
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

var errPoison = errors.New("it has no amount")

// A morgue is a DeadLetter that fails for a while.
type morgue struct {
	fails int           // calls that fail
	takes time.Duration // for each call

	mu    sync.Mutex
	start time.Time
	calls []string
}

func (m *morgue) put(ctx context.Context, ev client.Event, err error) error {
	if m.takes > 0 {
		select {
		case <-time.After(m.takes):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, fmt.Sprintf("%s#%d@%v: %v", ev.ID, ev.Attempt, time.Since(m.start), err))
	if m.fails--; m.fails >= 0 {
		return errors.New("the queue is unreachable")
	}
	return nil
}

func (m *morgue) log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

func TestRetryAfterSetsTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1"), steps(mock.Complete())), nil)
		defer sub.Close()
		start := time.Now()
		var at []time.Duration
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, time.Since(start))
			switch len(at) {
			case 1:
				ev.Nack(fmt.Errorf("limited: %w", client.RetryAfter(time.Hour, errors.New("429"))))
			case 2:
				ev.Nack(client.RetryAfter(-1, nil))
			}
		}
		want(t, "deliveries", at, []time.Duration{0, time.Hour, time.Hour + 10*time.Millisecond})
	})
}

// In each way to consume, an event that is refused permanently ends the subscription, is not
// acknowledged, and comes again after a restart.
func TestTerminalRefusalEndsTheSubscription(t *testing.T) {
	poison := fmt.Errorf("decode: %w", client.Terminal(errPoison))
	for name, consume := range map[string]func(*client.Subscription) error{
		"Events": func(s *client.Subscription) (end error) {
			for ev, err := range s.Events() {
				if end = err; err == nil && ev.ID == "2" {
					ev.Nack(poison)
					ev.Ack()
				}
			}
			return end
		},
		"Batches": func(s *client.Subscription) (end error) {
			for evs, err := range s.Batches(2, 0) {
				for end = err; len(evs) > 0; evs = evs[1:] {
					if evs[0].ID == "2" {
						evs[0].Nack(poison)
					}
				}
			}
			return end
		},
		"Next": func(s *client.Subscription) error {
			for {
				ev, err := s.Next(context.Background())
				switch {
				case err != nil:
					return err
				case ev.ID == "2":
					ev.Nack(poison)
				default:
					ev.Ack()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, book, feed := new(mock.Store), &logbook{}, script(events("1", "2", "3"))
				o := named(store)
				o.Logger = book.logger()
				sub := subscribe(t, feed, o)
				var refused *client.RefusedError
				if err := consume(sub); !errors.As(err, &refused) || !errors.Is(err, errPoison) || refused.Event.ID != "2" {
					t.Errorf("end: got %v, want a RefusedError with event 2 and the reason", err)
				}
				if err := sub.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if log := book.brief(); !slices.Contains(log, "ERROR ended") {
					t.Errorf("log: got %q, want the end as an error", log)
				}
				if r := readRecord(t, store); r.Token != "1" {
					t.Errorf("stored: got token %q, want 1, the event before the refused one", r.Token)
				}
				again := subscribe(t, feed, named(store))
				defer again.Close()
				got, _ := data(t, again, 2)
				want(t, "after the restart", got, []string{"data 2", "data 3"})
			})
		})
	}
}

// DeadLetter is repeated until it succeeds. The checkpoint stays before the event until then, other
// events are delivered meanwhile, and a complete feed ends after it.
func TestDeadLetterPrecedesTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, book := new(mock.Store), &logbook{}
		m := &morgue{fails: 3, start: time.Now()}
		var traced []string
		o := named(store)
		o.DeadLetter, o.Logger = m.put, book.logger()
		o.Trace = &client.Trace{DeadLettered: func(ev client.Event, reason, err error) {
			traced = append(traced, fmt.Sprint(ev.ID, ": ", reason, ", ", err))
		}}
		sub := subscribe(t, script(events("1", "2", "3"), steps(mock.Complete())), o)
		start, last := time.Now(), time.Duration(0)
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if last = time.Since(start); ev.ID == "2" {
				ev.Nack(client.Terminal(errPoison))
				time.AfterFunc(5*time.Second, func() {
					if r, s := readRecord(t, store), sub.Stats(); r.Token != "1" || s.DeadLettered != 0 || s.Acked != 2 || s.OldestAttempt != 1 {
						t.Errorf("while DeadLetter fails: got token %q, %+v, want token 1 and event 2 as the oldest", r.Token, s)
					}
				})
			}
		}
		if last != 0 || time.Since(start) != 7*time.Second {
			t.Errorf("got event 3 after %v and the end after %v, want 0s and 7s", last, time.Since(start))
		}
		want(t, "calls", m.log(), []string{"2#1@0s: it has no amount", "2#1@1s: it has no amount", "2#1@3s: it has no amount", "2#1@7s: it has no amount"})
		if len(traced) != 4 || traced[0] != "2: it has no amount, the queue is unreachable" || traced[3] != "2: it has no amount, <nil>" {
			t.Errorf("traced: got %q, want three failures and a success", traced)
		}
		want(t, "log", slices.DeleteFunc(book.brief(), func(l string) bool { return !strings.Contains(l, "dead-lettered") }), []string{"WARN event not dead-lettered", "WARN event dead-lettered", "INFO events are dead-lettered again"})
		if s := sub.Stats(); s.DeadLettered != 1 || s.Nacked != 1 || s.Acked != 3 {
			t.Errorf("Stats: got %+v, want 1 dead-lettered, 1 nacked, 3 acked", s)
		}
		if err := sub.Close(); err != nil || readRecord(t, store).Token != "3" {
			t.Errorf("Close: got %v, want nil and token 3 stored", err)
		}
	})
}

// Leaving the body is no refusal, but counts as an attempt.
func TestMaxAttemptsCountsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &morgue{start: time.Now()}
		sub := subscribe(t, script(events("1", "2"), steps(mock.Complete())), &client.Options{MaxAttempts: 3, DeadLetter: m.put})
		defer sub.Close()
		for range 4 {
			for ev := range sub.Events() {
				if ev.ID != "1" {
					t.Fatalf("got event %s, want 1", ev.ID)
				}
				break
			}
		}
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			ev.Nack(errPoison)
		}
		want(t, "dead letters", m.log(), []string{"1#5@0s: it has no amount", "2#3@3s: it has no amount"})
	})
}

// A DeadLetter that hangs, or keeps failing, does not delay Close, and its event comes again.
func TestCloseEndsDeadLetter(t *testing.T) {
	for name, m := range map[string]*morgue{"hangs": {takes: time.Hour}, "fails": {fails: 1000}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m.start = time.Now()
				store, feed := new(mock.Store), script(events("1", "2"))
				o := named(store)
				o.DeadLetter = m.put
				sub := subscribe(t, feed, o)
				next(t, sub).Nack(client.Terminal(errPoison))
				next(t, sub).Ack()
				time.Sleep(time.Minute)
				start := time.Now()
				if err := sub.Close(); err != nil || time.Since(start) > time.Second {
					t.Errorf("Close: got %v after %v, want nil within a second", err, time.Since(start))
				}
				if r := readRecord(t, store); r.Token != "" {
					t.Errorf("stored: got token %q, want none", r.Token)
				}
			})
		})
	}
}

// After the end of the context, an event whose body is running is still dead-lettered, but not twice.
func TestDeadLetterAfterTheContextEnds(t *testing.T) {
	for fails, token := range []string{"1", ""} {
		synctest.Test(t, func(t *testing.T) {
			store, m := new(mock.Store), &morgue{fails: fails, start: time.Now()}
			o := named(store)
			o.DeadLetter = m.put
			ctx, cancel := context.WithCancel(t.Context())
			sub, err := client.Subscribe(ctx, script(events("1")), o)
			if err != nil {
				t.Fatal(err)
			}
			ev := next(t, sub)
			cancel()
			ev.Nack(client.Terminal(errPoison))
			time.Sleep(time.Hour)
			sub.Close()
			if r := readRecord(t, store); r.Token != token || len(m.log()) != 1 {
				t.Errorf("%d failures: got token %q after the calls %q, want token %q after one", fails, r.Token, m.log(), token)
			}
		})
	}
}

// A DeadLetter that ends its goroutine is called again.
func TestDeadLetterThatExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		sub := subscribe(t, script(events("1"), steps(mock.Complete())), &client.Options{DeadLetter: func(context.Context, client.Event, error) error {
			if calls++; calls == 1 {
				runtime.Goexit()
			}
			return nil
		}})
		defer sub.Close()
		next(t, sub).Nack(client.Terminal(nil))
		if _, err := sub.Next(t.Context()); err != io.EOF || calls != 2 {
			t.Errorf("got %v after %d calls, want io.EOF after 2", err, calls)
		}
	})
}

// A sender that waits for the outcome gets its refusal as by any Nack, unless there is a DeadLetter:
// then it gets success, once that has succeeded.
func TestTerminalRefusalOfAReceiver(t *testing.T) {
	for name, c := range map[string]struct {
		dead  bool
		waits bool // the sender waits for the outcome
		want  string
	}{
		"the sender waits":                     {false, true, "refused: it has no amount"},
		"the sender waits, DeadLetter":         {true, true, "accepted after 1s"},
		"the sender does not wait":             {false, false, "dropped"},
		"the sender does not wait, DeadLetter": {true, false, "dead-lettered"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, m, book, outcome := &hub{}, &morgue{fails: 1, start: time.Now()}, &logbook{}, ""
				o := &client.Options{Logger: book.logger()}
				if c.dead {
					o.DeadLetter = m.put
				}
				sub := listening(t, h, o)
				msg, start := pushed("a")[0], time.Now()
				if c.waits {
					msg.Settle = func(err error) {
						if outcome = fmt.Sprint("accepted after ", time.Since(start)); err != nil {
							outcome = fmt.Sprint("refused: ", err)
						}
					}
				}
				h.accept(t, msg)
				ev := next(t, sub)
				ev.Nack(client.Terminal(errPoison))
				ev.Ack()
				time.Sleep(time.Minute)
				synctest.Wait()
				if log := book.brief(); slices.ContainsFunc(log, func(l string) bool { return strings.HasPrefix(l, "ERROR event refused permanently") }) {
					outcome = "dropped"
				}
				if c.dead && !c.waits && len(m.log()) == 2 {
					outcome = "dead-lettered"
				}
				if outcome != c.want {
					t.Errorf("got %q, want %q", outcome, c.want)
				}
				if s := sub.Stats(); s.State != client.StateLive || s.Buffered != 0 || s.Nacked != 1 {
					t.Errorf("Stats: got %+v, want live with nothing buffered and one refusal", s)
				}
			})
		})
	}
}

func TestRefusalOptionsAreValidated(t *testing.T) {
	for _, c := range []struct {
		src  transport.Source
		o    client.Options
		want string
	}{
		{mock.NewFeed(), client.Options{MaxAttempts: -1}, "Options.MaxAttempts: -1 is negative"},
		{&hub{}, client.Options{MaxAttempts: 3}, "Options.MaxAttempts: has no effect"},
	} {
		_, err := client.Subscribe(t.Context(), c.src, &c.o)
		var config *client.ConfigError
		if !errors.As(err, &config) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Subscribe: got %v, want a ConfigError with %q", err, c.want)
		}
	}
}
