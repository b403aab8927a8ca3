package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// set sets the position of the subscription "n".
func set(t *testing.T, s client.Store, token string) (old client.Checkpoint) {
	t.Helper()
	old, err := client.SetCheckpoint(t.Context(), s, "n", token, nil)
	if err != nil {
		t.Fatal(err)
	}
	return old
}

func checkpoint(t *testing.T, s client.Store) client.Checkpoint {
	t.Helper()
	c, err := client.ReadCheckpoint(t.Context(), s, "n")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantRecord checks the stored position and its epoch.
func wantRecord(t *testing.T, s client.Store, token string, epoch uint64) {
	t.Helper()
	if c := checkpoint(t, s); c.Token != token || c.Epoch != epoch {
		t.Errorf("stored: got token %q of epoch %d, want %q of %d", c.Token, c.Epoch, token, epoch)
	}
}

func TestReadCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		if c := checkpoint(t, store); c != (client.Checkpoint{Name: "n"}) {
			t.Errorf("without a record: got %#v, want only the name", c)
		}
		sub := subscribe(t, script(events("1", "2")), named(store))
		data(t, sub, 2)
		sub.Close()
		c, r := checkpoint(t, store), readRecord(t, store)
		want := client.Checkpoint{Name: "n", Token: "2", Epoch: 1, Events: 2, Saved: r.Saved, Owner: r.Owner}
		if c != want || len(store.History("n")) != 2 {
			t.Errorf("got %#v, want %#v and no save", c, want)
		}
	})
}

// The token can be a secret.
func TestCheckpointHidesTheToken(t *testing.T) {
	c := client.Checkpoint{Name: "n", Token: "secret", Epoch: 3, Events: 7, Owner: "host/1/ab"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("text", "checkpoint", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "checkpoint", c)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %s", c, c, &c), log.String()} {
		if strings.Contains(s, "secret") || !strings.Contains(s, "epoch 3") {
			t.Errorf("got %s, want the epoch and no token", s)
		}
	}
}

// A running subscription ends at its next save, or within 30 s if it has nothing to save, and cannot
// move the position. The next one starts at the one that was set.
func TestSetCheckpointFences(t *testing.T) {
	for name, tt := range map[string]struct {
		every time.Duration
		ack   bool // an event after the position was set
		limit time.Duration
	}{
		"busy":                  {0, true, time.Second},
		"idle":                  {0, false, 30 * time.Second},
		"idle, saves on demand": {-1, false, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, feed := new(mock.Store), script(events("1", "2", "3", "4"))
				o := named(store)
				o.CommitEvery = tt.every
				sub := subscribe(t, feed, o)
				data(t, sub, 3)
				if err := sub.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				ev := next(t, sub)
				old := set(t, store, "1")
				if old.Token != "3" || old.Epoch != 1 || old.Events != 3 {
					t.Errorf("old: got %#v, want token 3, epoch 1, 3 events", old)
				}
				before, start := readRecord(t, store), time.Now()
				if tt.ack {
					ev.Ack()
				}
				if _, err := sub.Next(t.Context()); !errors.Is(err, client.ErrFenced) || time.Since(start) > tt.limit {
					t.Errorf("running: got %v after %v, want %v within %v", err, time.Since(start), client.ErrFenced, tt.limit)
				}
				if err := sub.Close(); !errors.Is(err, client.ErrFenced) {
					t.Errorf("Close: got %v, want %v", err, client.ErrFenced)
				}
				if after := readRecord(t, store); after != before || after.Epoch != 2 || after.Token != "1" || after.Events != 3 {
					t.Errorf("record: got %+v, want %+v with epoch 2, token 1 and 3 events", after, before)
				}
				sub = subscribe(t, feed, named(store))
				got, _ := data(t, sub, 3)
				want(t, "after a start", got, []string{"data 2", "data 3", "data 4"})
				sub.Close()
				wantRecord(t, store, "4", 3)
			})
		})
	}
}

// After a reset, a subscription starts as for the first time.
func TestResetCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := script(events("1", "2", "3"))
		o := named(store)
		o.StartAfter = "1"
		drained := subscribe(t, feed, nil)
		data(t, drained, 3)
		drained.Close()
		for range 2 {
			sub := subscribe(t, feed, o)
			got, _ := data(t, sub, 2)
			want(t, "after StartAfter", got, []string{"data 2", "data 3"})
			sub.Close()
			set(t, store, "")
			if c := checkpoint(t, store); c.Token != "" || c.Events != 0 {
				t.Errorf("after the reset: got %#v, want no token and no events", c)
			}
		}
		wantRecord(t, store, "", 4)
	})
}

// A reset does not hide that the events between the position and the new start may be missing.
func TestResetIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := script(events("1"), steps(mock.Pause(time.Hour)), events("2"))
		sub := subscribe(t, feed, named(store))
		data(t, sub, 1)
		sub.Close()
		set(t, store, "")
		sub = subscribe(t, feed, named(store))
		defer sub.Close()
		if ev := next(t, sub); ev.Gap == nil || ev.ID != "2" {
			t.Errorf("got event %q with the gap %v, want 2 with a gap", ev.ID, ev.Gap)
		}
	})
}

func TestSetCheckpointOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := script(events("1", "2", "3"))
		drained := subscribe(t, feed, nil)
		data(t, drained, 3)
		drained.Close()
		if old := set(t, store, "2"); old != (client.Checkpoint{Name: "n"}) {
			t.Errorf("old: got %#v, want only the name", old)
		}
		wantRecord(t, store, "2", 1)
		sub := subscribe(t, feed, named(store))
		defer sub.Close()
		if ev := next(t, sub); ev.ID != "3" || ev.Gap != nil {
			t.Errorf("got event %q with the gap %v, want 3 without", ev.ID, ev.Gap)
		}
	})
}

// A Store may lose a save, apply it and fail, conflict, or read an old record.
func TestSetCheckpointWithFaults(t *testing.T) {
	ill := errors.New("the store is ill")
	for name, tt := range map[string]struct {
		saves, loads []*mock.Fault
		err          error
		set          bool
	}{
		"a save is lost":                     {saves: []*mock.Fault{{Err: ill}}, set: true},
		"a save lands and fails":             {saves: []*mock.Fault{{Applied: true, Err: ill}}, set: true},
		"a save lands late":                  {saves: []*mock.Fault{{Applied: true, Delay: time.Minute, Err: ill}, {Err: ill}}, set: true},
		"it lands, and the read is old":      {saves: []*mock.Fault{{Applied: true, Err: ill}}, loads: []*mock.Fault{{Count: 0, Delay: 1}, {Stale: true}}, set: true},
		"the first read is old":              {loads: []*mock.Fault{{Count: 2, Stale: true}}, set: true},
		"a read fails":                       {loads: []*mock.Fault{{Err: ill}}, set: true},
		"the read after a landed save fails": {saves: []*mock.Fault{{Applied: true, Err: ill}}, loads: []*mock.Fault{{Delay: 1}, {Count: 3, Err: ill}}, set: true},
		"every save fails":                   {saves: []*mock.Fault{{Count: -1, Err: ill}}, err: ill},
		"every read fails":                   {loads: []*mock.Fault{{Count: -1, Err: ill}}, err: ill},
		"every save lands and fails":         {saves: []*mock.Fault{{Applied: true, Err: ill}, {Count: -1, Err: ill}}, err: ill, set: true},
		"every save conflicts":               {saves: []*mock.Fault{{Count: -1, Err: client.ErrConflict}}, err: client.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				sub := subscribe(t, script(events("1")), named(store))
				data(t, sub, 1)
				sub.Close()
				for _, f := range tt.saves {
					store.OnSave(f)
				}
				for _, f := range tt.loads {
					store.OnLoad(f)
				}
				// The expected epoch must not conflict with a try of the same call.
				old, err := client.SetCheckpoint(t.Context(), store, "n", "7", &client.SetOptions{Epoch: 1})
				for _, f := range append(tt.saves, tt.loads...) {
					f.Remove()
				}
				var e *client.CheckpointError
				if !errors.Is(err, tt.err) || err != nil && (!errors.As(err, &e) || e.Name != "n") {
					t.Errorf("got %v, want a CheckpointError with %v", err, tt.err)
				}
				if err == nil && (old.Token != "1" || old.Epoch != 1) {
					t.Errorf("old: got %#v, want token 1 of epoch 1", old)
				}
				if tt.set {
					wantRecord(t, store, "7", 2)
				} else {
					wantRecord(t, store, "1", 1)
				}
			})
		})
	}
}

// Only the epoch counts: an owner that saves meanwhile does not change it.
func TestSetCheckpointComparesTheEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, feed := new(mock.Store), script(events("1", "2", "3"))
		sub := subscribe(t, feed, named(store))
		seen := checkpoint(t, store)
		data(t, sub, 2)
		sub.Close()
		o := &client.SetOptions{Epoch: seen.Epoch}
		if _, err := client.SetCheckpoint(t.Context(), store, "n", "1", o); err != nil {
			t.Fatal(err)
		}
		for _, epoch := range []uint64{1, 3} { // taken over since, or wrong
			_, err := client.SetCheckpoint(t.Context(), store, "n", "7", &client.SetOptions{Epoch: epoch})
			if !errors.Is(err, client.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprintf("the epoch is 2, not %d", epoch)) {
				t.Errorf("with epoch %d: got %v, want a conflict with 2", epoch, err)
			}
		}
		wantRecord(t, store, "1", 2)
		if _, err := client.SetCheckpoint(t.Context(), new(mock.Store), "n", "7", o); !errors.Is(err, client.ErrConflict) {
			t.Errorf("without a record: got %v, want a conflict", err)
		}
	})
}

// A save of unknown outcome that is followed by a takeover is not reported as a conflict.
func TestSetCheckpointOfUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, feed := new(mock.Store), script(events("1", "2"))
		sub := subscribe(t, feed, named(store))
		data(t, sub, 1)
		sub.Close()
		store.OnSave(&mock.Fault{Applied: true, Delay: time.Minute, Err: errors.New("timeout")})
		done := make(chan error)
		go func() {
			_, err := client.SetCheckpoint(t.Context(), store, "n", "7", &client.SetOptions{Epoch: 1})
			done <- err
		}()
		synctest.Wait()
		sub = subscribe(t, feed, named(store))
		defer sub.Close()
		if err := <-done; err == nil || errors.Is(err, client.ErrConflict) || !strings.Contains(err.Error(), "outcome is not known") {
			t.Errorf("got %v, want an unknown outcome", err)
		}
		wantRecord(t, store, "7", 3)
	})
}

func TestConcurrentSets(t *testing.T) {
	for name, epoch := range map[string]uint64{"any epoch": 0, "the same epoch": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				set(t, store, "0")
				store.OnSave(&mock.Fault{Count: 8, Delay: time.Second})
				errs := make([]error, 8)
				var group sync.WaitGroup
				for i := range errs {
					group.Go(func() {
						_, errs[i] = client.SetCheckpoint(t.Context(), store, "n", fmt.Sprint(i), &client.SetOptions{Epoch: epoch})
					})
				}
				group.Wait()
				won := 0
				for _, err := range errs {
					if err == nil {
						won++
					} else if !errors.Is(err, client.ErrConflict) {
						t.Errorf("got %v, want a conflict", err)
					}
				}
				wins := 8
				if epoch != 0 {
					wins = 1
				}
				if c := checkpoint(t, store); won != wins || c.Epoch != 1+uint64(wins) {
					t.Errorf("got %d sets and the epoch %d, want %d and %d", won, c.Epoch, wins, 1+wins)
				}
			})
		})
	}
}

// An owner that saves after each event does not keep others from setting the position.
func TestSetCheckpointOfABusyOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		slow := &mock.Fault{Count: -1, Delay: 3 * time.Millisecond}
		store.OnSave(slow)
		store.OnLoad(slow)
		o := named(store)
		o.CommitEvery = -1
		calls := 0
		sub := subscribe(t, endless{&calls}, o)
		group := sync.WaitGroup{}
		group.Go(func() {
			for ev, err := range sub.Events() {
				if err == nil {
					time.Sleep(4 * time.Millisecond)
					ev.Ack()
					sub.Commit(t.Context())
				}
			}
		})
		time.Sleep(time.Second)
		set(t, store, "0")
		group.Wait()
		sub.Close()
		wantRecord(t, store, "0", 2)
	})
}

func TestDamagedCheckpoint(t *testing.T) {
	const soon = 946684800000 // bubbles start in the year 2000
	for name, tt := range map[string]struct {
		record string
		epoch  uint64 // after it was replaced
	}{
		"empty":               {"", soon},
		"cut off":             {`{"format": 1, "epoch": 9, "own`, soon},
		"unknown version":     {`{"format": 2, "epoch": 9}`, soon},
		"a higher epoch":      {fmt.Sprintf(`{"format": 2, "epoch": %d}`, uint64(5*soon)), 5*soon + 1},
		"an impossible epoch": {`{"format": 1, "epoch": 18446744073709551615, "owner": "o"}`, soon},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				store.Put("n", []byte(tt.record))
				_, rerr := client.ReadCheckpoint(t.Context(), store, "n")
				_, serr := client.SetCheckpoint(t.Context(), store, "n", "7", nil)
				for _, err := range []error{rerr, serr} {
					var e *client.CheckpointError
					if !errors.As(err, &e) || e.Name != "n" || e.Op != "read" || !strings.Contains(err.Error(), "SetCheckpoint and Force") {
						t.Errorf("got %v, want an error that names the record and the remedy", err)
					}
				}
				if n := len(store.History("n")); n != 1 {
					t.Errorf("got %d records, want the damaged one only", n)
				}
				store.OnSave(&mock.Fault{Applied: true}) // the replaced one must be recognized
				o := &client.SetOptions{Force: true, Epoch: 9}
				if old, err := client.SetCheckpoint(t.Context(), store, "n", "7", o); err != nil || old.Epoch != 0 {
					t.Errorf("with Force: got %#v, %v, want an old one without an epoch", old, err)
				}
				wantRecord(t, store, "7", tt.epoch)
				sub := subscribe(t, script(events("8")), named(store))
				defer sub.Close()
				wantRecord(t, store, "7", tt.epoch+1)
			})
		})
	}
}

// A set ends the suspicion and the contest.
func TestSetCheckpointEndsSuspectsAndContests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := started(t, store, events("1", "2", "3"))
		o := named(store)
		o.DeadLetter = func(context.Context, client.Event, error) error { return nil }
		crashAt(t, store, feed, o, 4) // the record names event 1
		for range 5 {                 // the record is contested
			sub := subscribe(t, feed, named(store))
			crash(t, store, sub)
		}
		set(t, store, "1")
		var r map[string]any
		raw, _, _ := store.Load(t.Context(), "n")
		if err := json.Unmarshal(raw, &r); err != nil || r["contest"] != nil || r["suspect"] != nil || r["takeovers"] != nil {
			t.Errorf("got %s, want no contest, no suspect and no takeovers", raw)
		}
		start := time.Now()
		sub := subscribe(t, feed, o)
		defer sub.Close()
		if d := time.Since(start); d > 0 || sub.Stats().Suspect {
			t.Fatalf("Subscribe took %v, suspect %v, want 0s and none", d, sub.Stats().Suspect)
		}
		if second, third := next(t, sub), next(t, sub); second.ID != "2" || third.ID != "3" {
			t.Errorf("got %q and %q, want 2 and 3 at once", second.ID, third.ID)
		}
	})
}

func TestSeekArguments(t *testing.T) {
	var none context.Context
	_, rerr := client.ReadCheckpoint(none, nil, "")
	_, serr := client.SetCheckpoint(none, nil, "", "secret", nil)
	for call, err := range map[string]error{"ReadCheckpoint": rerr, "SetCheckpoint": serr} {
		var e *client.ConfigError
		if !errors.As(err, &e) || len(e.Problems) != 3 || !strings.HasPrefix(err.Error(), "client: "+call+": ") {
			t.Errorf("%s: got %v, want three problems", call, err)
		}
	}
}

// OverrideID applies StartAfter once, whatever happens then.
func TestOverride(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, feed, book := new(mock.Store), script(events("1", "2", "3", "4")), &logbook{}
		first := subscribe(t, feed, named(store))
		data(t, first, 3)
		first.Close()
		o := named(store)
		o.StartAfter, o.OverrideID, o.Logger = "1", "ticket 1", book.logger()
		store.OnSave(&mock.Fault{Applied: true}) // the outcome of the takeover is not known
		sub := subscribe(t, feed, o)
		wantRecord(t, store, "1", 2)
		got, _ := data(t, sub, 2)
		want(t, "overridden", got, []string{"data 2", "data 3"})
		if err := sub.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		crash(t, store, sub)
		want(t, "log", book.brief(), []string{"INFO stored position overridden", "INFO connected", "INFO ended", "WARN checkpoint not saved"})

		sub = subscribe(t, feed, o)
		got, _ = data(t, sub, 1)
		want(t, "after a crash with the same id", got, []string{"data 4"})
		sub.Close()
		set(t, store, "3")
		sub = subscribe(t, feed, o)
		wantRecord(t, store, "3", 5) // a set is newer
		sub.Close()
		o.OverrideID = "ticket 2"
		sub = subscribe(t, feed, o)
		wantRecord(t, store, "1", 6)
		sub.Close()
		o.StartAfter, o.OverrideID = "", "ticket 3"
		sub = subscribe(t, feed, o)
		defer sub.Close()
		wantRecord(t, store, "", 7)
		if c := checkpoint(t, store); c.Events != 0 {
			t.Errorf("events after a reset: got %d, want 0", c.Events)
		}
	})
}

// An override at the first start is stored at once, and is none for the log.
func TestOverrideOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, feed, book := new(mock.Store), script(events("1", "2", "3")), &logbook{}
		drained := subscribe(t, feed, nil)
		data(t, drained, 3)
		drained.Close()
		o := named(store)
		o.StartAfter, o.OverrideID, o.Logger = "1", "ticket", book.logger()
		sub := subscribe(t, feed, o)
		wantRecord(t, store, "1", 1)
		got, _ := data(t, sub, 1)
		want(t, "first start", got, []string{"data 2"})
		sub.Close()
		want(t, "log", book.brief(), []string{"INFO connected", "INFO ended"})
		sub = subscribe(t, feed, o)
		defer sub.Close()
		wantRecord(t, store, "2", 2)
	})
}

// An override ends the suspicion of an event that is no longer the first one.
func TestOverrideEndsSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := started(t, store, events("1", "2", "3"))
		crashAt(t, store, feed, named(store), 3)
		o := named(store)
		o.StartAfter, o.OverrideID = "1", "skip event 1"
		sub := subscribe(t, feed, o)
		defer sub.Close()
		if sub.Stats().Suspect {
			t.Fatal("got a suspect, want none")
		}
		if second, third := next(t, sub), next(t, sub); second.ID != "2" || third.ID != "3" {
			t.Errorf("got %q and %q, want 2 and 3 at once", second.ID, third.ID)
		}
	})
}

// A store whose third read returns the record of the first one.
type forgetful struct {
	*mock.Store
	reads   int
	data    []byte
	version string
}

func (s *forgetful) Load(ctx context.Context, key string) (data []byte, version string, err error) {
	data, version, err = s.Store.Load(ctx, key)
	switch s.reads++; s.reads {
	case 1:
		s.data, s.version = data, version
		s.Put(key, bytes.Replace(data, []byte(`"epoch": 1`), []byte(`"epoch": 2`), 1)) // taken over meanwhile
	case 3:
		return s.data, s.version, nil
	}
	return data, version, err
}

// A read that is older than what the set has replaced must not make the epoch decrease.
func TestSetCheckpointAfterAnOldRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		set(t, store, "0")
		store.OnSave(&mock.Fault{Delay: 1, Err: client.ErrConflict})
		store.OnSave(&mock.Fault{Applied: true})
		if old := set(t, &forgetful{Store: store}, "7"); old.Epoch != 2 {
			t.Errorf("old: got %#v, want epoch 2", old)
		}
		wantRecord(t, store, "7", 3)
	})
}
