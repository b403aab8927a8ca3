package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// started returns a feed whose first event is acknowledged, so that there is a position in the store.
func started(t *testing.T, store *mock.Store, parts ...[]mock.Step) *mock.Feed {
	t.Helper()
	feed := script(events("0"), slices.Concat(parts...))
	sub := subscribe(t, feed, named(store))
	next(t, sub).Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	return feed
}

// crashAt takes the next event and crashes, n times.
func crashAt(t *testing.T, store *mock.Store, feed *mock.Feed, o *client.Options, n int) {
	t.Helper()
	for range n {
		sub := subscribe(t, feed, o)
		next(t, sub)
		crash(t, store, sub)
		time.Sleep(20 * time.Minute) // otherwise Subscribe waits longer
	}
}

// isAlone reports whether sub hands out no other event now.
func isAlone(t *testing.T, sub *client.Subscription) bool {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := sub.Next(ctx)
	return errors.Is(err, context.DeadlineExceeded)
}

// After three crashes without progress, one event is handed out at a time until the position has
// moved.
func TestSuspectIsHandedOutAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, book := new(mock.Store), &logbook{}
		feed := started(t, store, events("1", "2", "3"))
		crashAt(t, store, feed, named(store), 3)
		o := named(store)
		o.Logger = book.logger()
		var traced []string
		o.Trace = &client.Trace{Suspected: func(ev client.Event, n int) { traced = append(traced, fmt.Sprint(ev.Token, " ", n)) }}
		sub := subscribe(t, feed, o)
		defer sub.Close()
		ev := next(t, sub)
		if s := sub.Stats(); !s.Suspect || s.OldestAttempt != 1 || !isAlone(t, sub) {
			t.Errorf("Stats: got %+v, want event 1 alone", s)
		}
		ev.Nack(client.RetryAfter(time.Minute, errPoison))
		if !isAlone(t, sub) {
			t.Error("got another event while the suspect waits for its redelivery, want none")
		}
		next(t, sub).Ack()
		second, third := next(t, sub), next(t, sub)
		if second.ID != "2" || third.ID != "3" || sub.Stats().Suspect {
			t.Errorf("after the suspect: got %q and %q, want 2 and 3 at once", second.ID, third.ID)
		}
		want(t, "traced", traced, []string{"1 3"})
		want(t, "log", book.brief(), []string{"INFO connected", "WARN event may have ended the process: handing out one at a time"})
	})
}

// An event that ends the process once more, alone, is dead-lettered by the next owner.
func TestSuspectIsDeadLettered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &morgue{fails: 1, start: time.Now()}
		store := new(mock.Store)
		feed := started(t, store, events("1", "2", "3"), steps(mock.Complete()))
		o := named(store)
		o.DeadLetter = m.put
		crashAt(t, store, feed, o, 4)
		if len(m.log()) != 0 {
			t.Errorf("got the calls %q before a crash on the event alone, want none", m.log())
		}
		start := time.Now()
		sub := subscribe(t, feed, o)
		if d := time.Since(start); d < 3*time.Second || d > 5*time.Second {
			t.Errorf("Subscribe took %v, want 3s to 5s", d)
		}
		got, end := data(t, sub, 0)
		want(t, "delivered", got, []string{"data 2", "data 3"})
		if calls := m.log(); end != nil || len(calls) != 2 || sub.Stats().DeadLettered != 1 {
			t.Errorf("got the end %v and the calls %q, want nil and two calls", end, calls)
		}
		if err := sub.Close(); err != nil || readRecord(t, store).Token != "3" {
			t.Errorf("Close: got %v, want nil and token 3 stored", err)
		}
	})
}

// A panic in the body of a loop is a crash, although a deferred Close runs before the process ends.
func TestSuspectAfterPanics(t *testing.T) {
	for name, consume := range map[string]func(*client.Subscription){
		"Events": func(sub *client.Subscription) {
			for range sub.Events() {
				panic("poison")
			}
		},
		"Batches": func(sub *client.Subscription) {
			for range sub.Batches(2, 0) {
				panic("poison")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				feed := started(t, store, events("1", "2", "3"))
				for range 3 {
					func() {
						defer func() { recover() }() // stands for the end of the process
						sub := subscribe(t, feed, named(store))
						defer sub.Close()
						consume(sub)
					}()
					time.Sleep(20 * time.Minute)
				}
				sub := subscribe(t, feed, named(store))
				defer sub.Close()
				if ev := next(t, sub); ev.ID != "1" || !sub.Stats().Suspect || !isAlone(t, sub) {
					t.Errorf("got event %q with Stats %+v, want event 1 alone", ev.ID, sub.Stats())
				}
			})
		})
	}
}

// Only takeovers from owners that died without progress count.
func TestNoSuspectWithoutCrashes(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, store *mock.Store, sub *client.Subscription){
		"owners that are closed": func(t *testing.T, _ *mock.Store, sub *client.Subscription) {
			next(t, sub)
			sub.Close()
		},
		"owners that make progress": func(t *testing.T, store *mock.Store, sub *client.Subscription) {
			next(t, sub).Ack()
			if err := sub.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			next(t, sub)
			crash(t, store, sub)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				feed := started(t, store, events("1", "2", "3", "4", "5", "6", "7", "8"))
				for range 5 {
					sub := subscribe(t, feed, named(store))
					run(t, store, sub)
					time.Sleep(time.Hour)
				}
				sub := subscribe(t, feed, named(store))
				defer sub.Close()
				if next(t, sub); isAlone(t, sub) || sub.Stats().Suspect {
					t.Error("got one event at a time, want all of them")
				}
			})
		})
	}
}

// A suspect is innocent if its owner survives it: because it lives when the record is taken over, or
// because it has refused the event.
func TestSuspectThatIsInnocent(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, store *mock.Store, sub *client.Subscription, ev client.Event){
		"the owner lives": func(*testing.T, *mock.Store, *client.Subscription, client.Event) {},
		"the owner is closed": func(_ *testing.T, _ *mock.Store, sub *client.Subscription, _ client.Event) {
			sub.Close()
		},
		"the owner has refused the event": func(t *testing.T, store *mock.Store, sub *client.Subscription, ev client.Event) {
			ev.Nack(client.RetryAfter(time.Hour, errPoison))
			time.Sleep(time.Minute)
			crash(t, store, sub)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &morgue{start: time.Now()}
				store := new(mock.Store)
				feed := started(t, store, events("1", "2"))
				o := named(store)
				o.DeadLetter = m.put
				crashAt(t, store, feed, o, 3)
				time.Sleep(time.Hour)
				older := subscribe(t, feed, o)
				defer older.Close()
				run(t, store, older, next(t, older))
				sub := subscribe(t, feed, o)
				defer sub.Close()
				if ev := next(t, sub); ev.ID != "1" || len(m.log()) > 0 {
					t.Errorf("got event %s after the dead letters %q, want 1 after none", ev.ID, m.log())
				}
			})
		})
	}
}

// Without an id or a token of its own, the suspect is found among the events that share a position.
func TestSuspectWithoutAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &morgue{start: time.Now()}
		store := new(mock.Store)
		feed := started(t, store, steps(mock.Event("", "a"), mock.Event("", "poison"), mock.Event("", "c")), events("2"), steps(mock.Complete()))
		o := named(store)
		o.DeadLetter = m.put
		var last []string
		for range 10 {
			sub, crashed := subscribe(t, feed, o), false
			last = nil
			for ev, err := range sub.Events() {
				if err != nil {
					t.Fatal(err)
				}
				last = append(last, string(ev.Data))
				if crashed = string(ev.Data) == "poison"; crashed {
					crash(t, store, sub)
					break
				}
			}
			if sub.Close(); !crashed {
				break
			}
		}
		if len(m.log()) != 1 || !slices.Contains(last, "data 2") {
			t.Errorf("got the dead letters %q and at last %q, want one and the end of the feed", m.log(), last)
		}
	})
}
