package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// A subscription that waits in a contest respects a lease that another one gets meanwhile.
func TestLeaseThatBeginsDuringAContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		for range 4 { // subscribe and crash; a fifth would wait
			mine := &wire{Store: store}
			sub := subscribe(t, held("1"), named(mine))
			mine.cut.Store(true)
			sub.Close()
		}
		first := readRecord(t, store).Epoch + 1
		subs := make(chan *client.Subscription, 3)
		for range cap(subs) {
			go func() { subs <- subscribe(t, held("1"), leased(store)) }()
		}
		time.Sleep(10 * time.Minute)
		live := 0
		for range cap(subs) {
			sub := <-subs
			defer sub.Close()
			switch s := sub.Stats(); s.State {
			case client.StateLive:
				live++
			case client.StateStandby:
			default:
				t.Errorf("got %v, %v", s.State, s.Err)
			}
		}
		if epoch := readRecord(t, store).Epoch; live != 1 || epoch != first {
			t.Errorf("got %d owners and epoch %d, want one owner in epoch %d", live, epoch, first)
		}
	})
}

// A record that is gone is a stale read at first. Neither a standby nor the owner starts a new one.
func TestLeaseWithoutARecord(t *testing.T) {
	for name, lasts := range map[string]bool{"stale": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				owner := subscribe(t, held("1"), leased(store))
				defer owner.Close()
				spare := subscribe(t, held("1"), leased(store))
				defer spare.Close()
				time.Sleep(time.Minute)
				data, _, _ := store.Load(t.Context(), "n")
				store.Put("n", nil)
				if !lasts {
					time.Sleep(2 * time.Second)
					store.Put("n", data)
					time.Sleep(time.Minute)
					wantState(t, owner, client.StateLive, 1)
					wantState(t, spare, client.StateStandby, 0)
					return
				}
				time.Sleep(time.Minute)
				for name, sub := range map[string]*client.Subscription{"owner": owner, "standby": spare} {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					_, err := sub.Next(ctx)
					cancel()
					var ce *client.CheckpointError
					if !errors.As(err, &ce) || errors.Is(err, client.ErrFenced) || !strings.Contains(err.Error(), "lost data") {
						t.Errorf("%s: got %v, want a CheckpointError for lost data", name, err)
					}
				}
				if data, _, _ := store.Load(t.Context(), "n"); data != nil {
					t.Errorf("got %s stored, want nothing", data)
				}
			})
		})
	}
}

// A standby is ready again when an outage of the store is over, although it does not take over.
func TestStandbyIsReadyAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		owner := subscribe(t, held("1"), leased(store))
		defer owner.Close()
		mine := &wire{Store: store}
		var log logbook
		o := leased(mine)
		o.Logger = log.logger()
		spare := subscribe(t, held("1"), o)
		defer spare.Close()
		for range 2 {
			mine.cut.Store(true)
			time.Sleep(time.Minute)
			if spare.Ready() == nil {
				t.Error("ready during the outage")
			}
			mine.cut.Store(false)
			time.Sleep(time.Minute)
			if s := spare.Stats(); spare.Ready() != nil || s.Err != nil || !s.Outage.IsZero() {
				t.Errorf("after the outage: got %v, want it ready", spare.Ready())
			}
		}
		if n := strings.Count(strings.Join(log.brief(), "\n"), "INFO standing by"); n != 3 {
			t.Errorf("got %d records, want one at the start and one after each outage:\n%s", n, strings.Join(log.brief(), "\n"))
		}
	})
}

// Commit waits for an earlier event. When the lease is over, nothing can acknowledge that any more.
func TestCommitEndsWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine := &wire{Store: new(mock.Store)}
		owner := subscribe(t, held("1", "2"), leased(mine))
		defer owner.Close()
		owner.Next(t.Context())
		second, _ := owner.Next(t.Context())
		second.Ack()
		mine.cut.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if err := owner.Commit(ctx); !errors.Is(err, client.ErrFenced) || time.Since(start) > testLease {
			t.Errorf("got %v after %v, want ErrFenced when the lease ends", err, time.Since(start))
		}
	})
}

// An event that is acknowledged just before a renewal does not delay it.
func TestAcksDoNotDelayARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := leased(new(mock.Store))
		o.CommitEvery = time.Hour
		sub := subscribe(t, held("1"), o)
		defer sub.Close()
		time.Sleep(testLease/4 - 10*time.Millisecond)
		data(t, sub, 1)
		for range 300 {
			if left := time.Until(sub.Stats().LeaseUntil); left < testLease/2 {
				t.Fatalf("%v of the lease are left, want at least half", left)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// SetCheckpoint with Force does not end a lease that the record still shows.
func TestForceRespectsALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		owner := subscribe(t, held("1"), leased(store))
		defer owner.Close()
		time.Sleep(time.Minute)
		raw, _, _ := store.Load(t.Context(), "n")
		var fields map[string]any
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		fields["newer"] = true // of another version
		raw, _ = json.Marshal(fields)
		store.Put("n", raw)
		if _, err := client.SetCheckpoint(t.Context(), store, "n", "7", &client.SetOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		spare := subscribe(t, held("7", "8"), leased(store))
		defer spare.Close()
		wantState(t, spare, client.StateStandby, 0)
		connectsAfter(t, spare)
		if s := owner.Stats(); s.State != client.StateEnded {
			t.Errorf("got the owner %v, want it ended", s.State)
		}
	})
}

// A standby of an earlier deployment does not apply its OverrideID again after that of a later one.
func TestStandbyWithAnOldOverride(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		with := func(s client.Store, id, after string) *client.Options {
			o := leased(s)
			o.OverrideID, o.StartAfter = id, after
			return o
		}
		monday := subscribe(t, held("1"), with(store, "monday", "1"))
		feed, mine := held("1"), &wire{Store: store}
		spare := subscribe(t, feed, with(mine, "monday", "1"))
		defer spare.Close()
		time.Sleep(5 * time.Second)
		mine.cut.Store(true) // so that the other one takes over
		tuesday := subscribe(t, held("1"), with(store, "tuesday", "7"))
		monday.Close()
		connectsAfter(t, tuesday)
		mine.cut.Store(false)
		time.Sleep(time.Minute)
		tuesday.Close()
		connectsAfter(t, spare)
		want(t, "first token", tokens(feed)[:1], []string{"7"})
	})
}

// A standby that has no lease itself does not wait without a limit for an answer of the store.
func TestStandbyWithoutALeaseLimitsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(mock.Store)
		owner := subscribe(t, held("1"), leased(shared))
		defer owner.Close()
		mine := &wire{Store: shared}
		spare := subscribe(t, held("1"), named(mine))
		defer spare.Close()
		mine.cut.Store(true)
		time.Sleep(10 * time.Minute)
		if spare.Ready() == nil {
			t.Error("ready without an answer of the store for ten minutes")
		}
	})
}
