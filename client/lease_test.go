package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

const testLease = 10 * time.Second

// wire is the way of one process to the store that all of them share.
type wire struct {
	client.Store
	cut   atomic.Bool // calls get no answer
	saves atomic.Int32
}

func (w *wire) Load(ctx context.Context, key string) ([]byte, string, error) {
	if w.cut.Load() {
		<-ctx.Done()
		return nil, "", context.Cause(ctx)
	}
	return w.Store.Load(ctx, key)
}

func (w *wire) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if w.cut.Load() {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	w.saves.Add(1)
	return w.Store.Save(ctx, key, data, prev)
}

func leased(s client.Store) *client.Options {
	return &client.Options{Name: "n", Store: s, Lease: testLease}
}

// held is a feed with events that stays open.
func held(ids ...string) *mock.Feed { return script(events(ids...), steps(mock.Pause(1000*time.Hour))) }

func wantState(t *testing.T, sub *client.Subscription, state client.State, epoch uint64) {
	t.Helper()
	synctest.Wait()
	if s := sub.Stats(); s.State != state || s.Epoch != epoch {
		t.Errorf("got %v in epoch %d, want %v in epoch %d (%v)", s.State, s.Epoch, state, epoch, s.Err)
	}
}

// connectsAfter returns how long the subscription takes to connect.
func connectsAfter(t *testing.T, sub *client.Subscription) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := sub.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// While the owner renews its lease, a second subscription of the name waits, ready to take over. When
// the owner is closed, it does so within a second, after the last event that was acknowledged.
func TestStandbyTakesOverFromAClosedOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := held("1", "2", "3")
		owner := subscribe(t, feed, leased(store))
		defer owner.Close()
		data(t, owner, 2)
		spare := subscribe(t, feed, leased(store))
		defer spare.Close()
		wantState(t, spare, client.StateStandby, 0)
		time.Sleep(time.Hour)
		wantState(t, owner, client.StateLive, 1)
		wantState(t, spare, client.StateStandby, 0)
		if err := errors.Join(spare.Ready(), spare.Healthy(), spare.Commit(t.Context())); err != nil || len(feed.Attempts()) > 1 {
			t.Errorf("standby: got %v and %d connections, want it ready without a connection", err, len(feed.Attempts())-1)
		}
		if err := owner.Close(); err != nil {
			t.Fatal(err)
		}
		if d := connectsAfter(t, spare); d > time.Second {
			t.Errorf("took over after %v, want at most 1 s", d)
		}
		wantState(t, spare, client.StateLive, 2)
		ev, err := spare.Next(t.Context())
		if err != nil || ev.Epoch() != 2 {
			t.Errorf("got %v in epoch %d, want epoch 2", err, ev.Epoch())
		}
		want(t, "tokens", tokens(feed), []string{"", "2"})
	})
}

// An idle owner renews its lease at least each quarter of it, and no more often than it must.
func TestLeaseIsRenewed(t *testing.T) {
	for name, every := range map[string]time.Duration{"default": 0, "rare commits": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &wire{Store: new(mock.Store)}
				o := leased(store)
				o.CommitEvery = every
				sub := subscribe(t, held("1"), o)
				defer sub.Close()
				data(t, sub, 1)
				for range 3600 {
					time.Sleep(time.Second)
					if left := time.Until(sub.Stats().LeaseUntil); left < testLease/2 {
						t.Fatalf("%v of the lease are left, want at least half", left)
					}
				}
				if n := store.saves.Load(); n < 1440 || n > 1445 {
					t.Errorf("got %d saves in an hour, want one each 2.5 s", n)
				}
			})
		})
	}
}

// An owner that cannot reach the store stops before its lease is over, and a standby starts after that.
func TestOwnerWithoutStoreStopsBeforeItsLeaseIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(mock.Store)
		mine := &wire{Store: shared}
		ids := make([]string, 100)
		for i := range ids {
			ids[i] = string(rune('A' + i))
		}
		feed := held(ids...)
		o := leased(mine)
		owner := subscribe(t, feed, o)
		spare := subscribe(t, held("z"), leased(shared))
		defer spare.Close()
		ev, err := owner.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mine.cut.Store(true)
		start := time.Now()
		for err == nil {
			time.Sleep(100 * time.Millisecond)
			_, err = owner.Next(t.Context())
		}
		stopped := time.Since(start)
		if !errors.Is(err, client.ErrFenced) || !strings.Contains(err.Error(), "lease of 10s could not be renewed") {
			t.Errorf("got %v, want ErrFenced with the lease", err)
		}
		if stopped < testLease/2 || stopped > testLease*4/5+100*time.Millisecond {
			t.Errorf("stopped after %v, want between half and four fifths of the lease", stopped)
		}
		synctest.Wait()
		if s := owner.Stats(); s.State != client.StateEnded || !errors.Is(s.Err, client.ErrFenced) || feed.Attempts()[0].Ended.IsZero() {
			t.Errorf("got %v, %v, want it ended and the connection closed", s.State, s.Err)
		}
		if err := errors.Join(ev.Ack(), owner.Commit(t.Context())); !errors.Is(err, client.ErrFenced) {
			t.Errorf("Ack and Commit: got %v, want ErrFenced", err)
		}
		wantState(t, spare, client.StateStandby, 0)
		connectsAfter(t, spare)
		if took := time.Since(start); took < testLease*3/4 || took > testLease*5/4 {
			t.Errorf("taken over after %v, want about the lease", took)
		}
		mine.cut.Store(false)
		if err := owner.Close(); !errors.Is(err, client.ErrFenced) {
			t.Errorf("Close: got %v, want ErrFenced", err)
		}
		time.Sleep(time.Hour)
		wantState(t, spare, client.StateLive, 2)
	})
}

// An owner that is fenced and reaches the store again saves what is acknowledged and ends its lease, so
// that a standby need not wait for that.
func TestFencedOwnerReleasesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(mock.Store)
		mine := &wire{Store: shared}
		o := leased(mine)
		o.CommitEvery = time.Hour
		feed := held("1", "2")
		owner := subscribe(t, feed, o)
		defer owner.Close()
		spare := subscribe(t, feed, leased(shared))
		defer spare.Close()
		time.Sleep(time.Minute)
		mine.cut.Store(true)
		data(t, owner, 1)
		for owner.Stats().State != client.StateEnded {
			time.Sleep(time.Millisecond)
			if time.Until(owner.Stats().LeaseUntil) < 10*time.Millisecond {
				mine.cut.Store(false)
			}
		}
		start := time.Now()
		if connectsAfter(t, spare); time.Since(start) > 2*time.Second {
			t.Errorf("taken over after %v, want at most 2 s", time.Since(start))
		}
		want(t, "tokens", tokens(feed), []string{"", "1"})
	})
}

// A lease runs from before the save that renews it, not from the answer of the store.
func TestLeaseRunsFromBeforeTheSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		store.OnSave(&mock.Fault{Count: -1, Delay: time.Second})
		start := time.Now()
		sub := subscribe(t, held("1"), leased(store))
		defer sub.Close()
		for range 2 {
			if left := sub.Stats().LeaseUntil.Sub(start); left != testLease*4/5 {
				t.Errorf("got %v from the save, want four fifths of the lease", left)
			}
			start = time.Now().Add(testLease / 4)
			time.Sleep(testLease/4 + time.Second)
			synctest.Wait()
		}
	})
}

// A takeover that takes so long that the lease is nearly over is repeated.
func TestLeaseOfASlowTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		o := leased(store)
		o.Lease = time.Second
		store.OnSave(&mock.Fault{Delay: 10 * time.Second})
		sub := subscribe(t, held("1"), o)
		defer sub.Close()
		if left := time.Until(sub.Stats().LeaseUntil); left < 700*time.Millisecond {
			t.Errorf("%v of the lease are left, want four fifths", left)
		}
	})
}

// An outage of the store that is shorter than the lease ends nothing.
func TestLeaseSurvivesAShortOutage(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, testLease} {
		synctest.Test(t, func(t *testing.T) {
			shared := new(mock.Store)
			mine := &wire{Store: shared}
			owner := subscribe(t, held("1"), &client.Options{Name: "n", Store: mine, Lease: lease})
			defer owner.Close()
			spare := subscribe(t, held("1"), leased(shared))
			defer spare.Close()
			for range 100 {
				time.Sleep(lease * 7 / 10)
				mine.cut.Store(true)
				time.Sleep(lease * 4 / 10)
				mine.cut.Store(false)
			}
			wantState(t, owner, client.StateLive, 1)
			wantState(t, spare, client.StateStandby, 0)
		})
	}
}

// Events in the buffer are handed out under the lease after the feed is complete. Then the lease ends,
// and Close has nothing to save.
func TestLeaseLastsUntilTheBufferIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &wire{Store: new(mock.Store)}
		sub := subscribe(t, script(events("1", "2"), steps(mock.Complete())), leased(store))
		spare := subscribe(t, held("1"), leased(store.Store))
		defer spare.Close()
		time.Sleep(time.Hour)
		wantState(t, spare, client.StateStandby, 0)
		if got, end := data(t, sub, 0); len(got) != 2 || end != nil {
			t.Errorf("after an hour: got %v, %v, want two events", got, end)
		}
		time.Sleep(time.Minute)
		before := store.saves.Load()
		time.Sleep(time.Hour)
		if n := store.saves.Load() - before; n > 0 || !sub.Stats().LeaseUntil.IsZero() {
			t.Errorf("got %d saves in an hour after the end, want none", n)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A standby ends by Close, Drain, and the end of its context, without an error of its own and without
// touching the record.
func TestStandbyEnds(t *testing.T) {
	for name, end := range map[string]func(sub *client.Subscription, cancel func()){
		"Close":   func(sub *client.Subscription, cancel func()) { sub.Close() },
		"context": func(sub *client.Subscription, cancel func()) { cancel() },
		"Drain":   func(sub *client.Subscription, cancel func()) { sub.Drain(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				owner := subscribe(t, held("1"), leased(store))
				defer owner.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				mine := &wire{Store: store}
				spare, err := client.Subscribe(ctx, held("1"), leased(mine))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				go end(spare, cancel)
				start := time.Now()
				_, err = spare.Next(t.Context())
				if wanted := map[string]error{"Close": client.ErrClosed, "context": context.Canceled}[name]; wanted != nil && !errors.Is(err, wanted) {
					t.Errorf("Next: got %v, want %v", err, wanted)
				}
				if err := spare.Close(); err != nil || time.Since(start) > time.Second || mine.saves.Load() > 0 {
					t.Errorf("Close: got %v after %v and %d saves, want nil at once and none", err, time.Since(start), mine.saves.Load())
				}
			})
		})
	}
}

// A standby that cannot read the record is not ready, says so, and takes over once it can.
func TestStandbyWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(mock.Store)
		owner := subscribe(t, held("1"), leased(shared))
		defer owner.Close()
		mine := &wire{Store: shared}
		var log logbook
		o := leased(mine)
		o.Logger = log.logger()
		spare := subscribe(t, held("1"), o)
		defer spare.Close()
		mine.cut.Store(true)
		time.Sleep(time.Minute)
		if err := spare.Ready(); err == nil || spare.Healthy() != nil {
			t.Errorf("got %v and %v, want it healthy and not ready", err, spare.Healthy())
		}
		owner.Close()
		time.Sleep(time.Minute)
		wantState(t, spare, client.StateStandby, 0)
		mine.cut.Store(false)
		if d := connectsAfter(t, spare); d > 15*time.Second {
			t.Errorf("took over %v after the outage, want at most 15 s", d)
		}
		if err := spare.Ready(); err != nil || spare.Stats().Err != nil {
			t.Errorf("after the outage: got %v, want it ready", err)
		}
		if n := strings.Count(strings.Join(log.brief(), "\n"), "checkpoint not taken over"); n != 2 {
			t.Errorf("got %d warnings in two minutes, want 2:\n%s", n, strings.Join(log.brief(), "\n"))
		}
	})
}

// A takeover whose outcome is not known is not mistaken for the lease of another subscription.
func TestStandbyRecognizesItsOwnTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(mock.Store)
		owner := subscribe(t, held("1"), leased(shared))
		spare := subscribe(t, held("1"), leased(shared))
		defer spare.Close()
		time.Sleep(time.Minute)
		shared.OnLoad(&mock.Fault{Count: 2}) // of the standby: the first one meets the release
		owner.Close()
		shared.OnSave(&mock.Fault{Count: 2, Applied: true, Err: errTrouble})
		if d := connectsAfter(t, spare); d > testLease {
			t.Errorf("took over after %v, want at most the lease", d)
		}
		wantState(t, spare, client.StateLive, 2)
	})
}

// A record that is damaged while a standby waits ends it.
func TestStandbyMeetsADamagedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		owner := subscribe(t, held("1"), leased(store))
		spare := subscribe(t, held("1"), leased(store))
		defer spare.Close()
		store.Put("n", []byte("{"))
		var ce *client.CheckpointError
		if _, err := spare.Next(t.Context()); !errors.As(err, &ce) || ce.Op != "read" {
			t.Errorf("got %v, want a CheckpointError", err)
		}
		owner.Close()
	})
}

// SetCheckpoint does not end a lease: the owner stops at its next save, and then a standby takes over
// with the position that was set.
func TestSetCheckpointUnderALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		owner := subscribe(t, held("1"), leased(store))
		defer owner.Close()
		feed := held("7", "8")
		spare := subscribe(t, feed, leased(store))
		defer spare.Close()
		time.Sleep(time.Minute)
		if _, err := client.SetCheckpoint(t.Context(), store, "n", "7", nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for owner.Stats().State != client.StateEnded {
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(start); d > testLease/4+time.Second {
			t.Errorf("the owner stopped after %v, want at most a quarter of the lease", d)
		}
		wantState(t, spare, client.StateStandby, 0)
		connectsAfter(t, spare)
		wantState(t, spare, client.StateLive, 3)
		want(t, "token", tokens(feed)[:1], []string{"7"})
	})
}

// A subscription without a lease waits for that of another one.
func TestLeaseIsRespectedWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		owner := subscribe(t, held("1"), leased(store))
		other := subscribe(t, held("1"), named(store))
		defer other.Close()
		time.Sleep(time.Hour)
		wantState(t, owner, client.StateLive, 1)
		wantState(t, other, client.StateStandby, 0)
		owner.Close()
		connectsAfter(t, other)
		wantState(t, other, client.StateLive, 2)
		third := subscribe(t, held("1"), leased(store))
		defer third.Close()
		wantState(t, third, client.StateLive, 3) // the newest wins
	})
}

// Three replicas, each of which starts again when it is fenced.
func TestOnlyOneOfManyStandbysTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		subs := make([]*client.Subscription, 10)
		for i := range subs {
			subs[i] = subscribe(t, held("1"), leased(store))
		}
		for epoch := uint64(1); len(subs) > 0; epoch++ {
			time.Sleep(2 * time.Second) // it is no contest if the next one takes over at once
			live := -1
			for i, sub := range subs {
				switch sub.Stats().State {
				case client.StateLive:
					if live >= 0 {
						t.Fatalf("epoch %d has two owners", epoch)
					}
					live = i
				case client.StateStandby:
				default:
					t.Fatalf("got %v", sub.Stats().State)
				}
			}
			if live < 0 || subs[live].Stats().Epoch != epoch {
				t.Fatalf("epoch %d has no owner", epoch)
			}
			subs[live].Close()
			subs = append(subs[:live], subs[live+1:]...)
		}
	})
}

// Owners that die without progress, each at its first event: the next one is a suspect, and no contest.
func TestSuspectUnderALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		for crashes := range 5 {
			mine, start := &wire{Store: store}, time.Now()
			sub := subscribe(t, held("1", "2"), leased(mine))
			if _, err := sub.Next(t.Context()); err != nil || time.Since(start) > testLease+time.Second {
				t.Fatalf("after %d crashes: got %v after %v, want an event after the lease", crashes, err, time.Since(start))
			}
			if got, wanted := sub.Stats().Suspect, crashes > 3; got != wanted {
				t.Errorf("after %d crashes: got suspect %t, want %t", crashes, got, wanted)
			}
			mine.cut.Store(true)
			sub.Close()
		}
	})
}

// A standby with a queue keeps the stored position, too.
func TestStandbyWithAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := held("1", "2")
		owner := subscribe(t, feed, leased(store))
		defer owner.Close()
		data(t, owner, 2)
		o := leased(store)
		o.Overflow = client.OverflowDropOldest
		spare := subscribe(t, feed, o)
		owner.Close()
		connectsAfter(t, spare)
		time.Sleep(time.Minute)
		if err := spare.Close(); err != nil || readRecord(t, store).Token != "2" {
			t.Errorf("got %v and token %q stored, want 2", err, readRecord(t, store).Token)
		}
	})
}

func TestLeaseConfiguration(t *testing.T) {
	store := new(mock.Store)
	for _, c := range []struct {
		o    client.Options
		want string
	}{
		{client.Options{Name: "n", Store: store, Lease: time.Millisecond}, "Options.Lease: 1ms is not between 1s and 24h0m0s"},
		{client.Options{Name: "n", Store: store, Lease: -time.Second}, "Options.Lease: -1s is not between"},
		{client.Options{Lease: time.Minute}, "Options.Lease: has no effect without Store"},
		{client.Options{Name: "n", Store: store, Lease: time.Minute, CommitEvery: -1}, "Options.Lease: cannot be renewed with a negative CommitEvery"},
	} {
		_, err := client.Subscribe(t.Context(), script(), &c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// What a person reads in the record.
func TestLeaseInTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, held("1"), leased(store))
		read := func() (r struct {
			Lease    int64 `json:"lease_ms"`
			Released bool
		}) {
			data, _, _ := store.Load(t.Context(), "n")
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := read(); r.Lease != 10_000 || r.Released {
			t.Errorf("owned: got %+v", r)
		}
		sub.Close()
		if r := read(); r.Lease != 10_000 || !r.Released {
			t.Errorf("closed: got %+v, want it released", r)
		}
	})
}

func leaseLogs(t *testing.T, log *slog.Logger) {
	store := new(mock.Store)
	owner := subscribe(t, held("1"), leased(store))
	mine := &wire{Store: store}
	o := leased(mine)
	o.Logger = log
	spare := subscribe(t, held("1"), o)
	mine.cut.Store(true)
	time.Sleep(time.Hour)
	mine.cut.Store(false)
	time.Sleep(time.Minute)
	owner.Close()
	time.Sleep(time.Minute)
	spare.Close()
}
