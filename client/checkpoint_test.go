package client_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

func TestAcksShareASave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1", "2", "3", "4", "5")), named(store))
		defer sub.Close()
		data(t, sub, 5)
		synctest.Wait()
		if r := readRecord(t, store); r.Token != "" {
			t.Fatalf("saved at once: got %+v, want no save before CommitEvery", r)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if r := readRecord(t, store); r.Token != "5" || r.Events != 5 || r.Write != 1 {
			t.Errorf("after CommitEvery: got %+v, want one save with token 5", r)
		}
		time.Sleep(time.Hour)
		if s := sub.Stats(); s.Saves != 1 || s.Checkpointed != 5 {
			t.Errorf("Stats of an idle subscription: got %+v, want no further save", s)
		}
	})
}

func TestCommitWaitsUntilEarlierEventsAreSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		o := named(store)
		o.CommitEvery = -1
		sub := subscribe(t, script(events("1", "2", "3")), o)
		defer sub.Close()
		first, _ := sub.Next(t.Context())
		second, _ := sub.Next(t.Context())
		second.Ack()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sub.Commit(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Commit before an earlier event is settled: got %v, want the end of its context", err)
		}
		go func() {
			time.Sleep(time.Minute)
			first.Ack()
		}()
		if err := sub.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := readRecord(t, store); r.Token != "2" {
			t.Errorf("Commit returned with token %q stored, want 2", r.Token)
		}
		if err := sub.Commit(t.Context()); err != nil {
			t.Errorf("a second Commit with nothing new: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(), nil)
		defer sub.Close()
		if sub.Commit(t.Context()) == nil {
			t.Error("Commit without a Store: got nil, want an error")
		}
	})
}

func TestFailingSaveIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		var log bytes.Buffer
		var traced []error
		o := named(store)
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Trace = &client.Trace{Saved: func(s client.SaveInfo) { traced = append(traced, s.Err) }}
		sub := subscribe(t, script(events("1", "2")), o)
		data(t, sub, 1)
		down := errors.New("database is down")
		outage := &mock.Fault{Count: -1, Err: down}
		store.OnSave(outage)
		if err := sub.Commit(t.Context()); !errors.Is(err, down) {
			t.Errorf("Commit: %v, want the error of Save", err)
		}
		time.Sleep(time.Minute)
		if s := sub.Stats(); !errors.Is(s.CheckpointError, down) || s.ConsecutiveSaveErrors < 5 {
			t.Errorf("Stats: got %d failures, %v, want at least 5 with the error of Save", s.ConsecutiveSaveErrors, s.CheckpointError)
		}
		outage.Remove()
		time.Sleep(time.Minute)
		if s := sub.Stats(); s.CheckpointError != nil || s.Checkpointed != 1 || readRecord(t, store).Token != "1" {
			t.Errorf("Stats: got %+v, want a retried save", s)
		}
		if n := strings.Count(log.String(), "checkpoint not saved"); n < 1 || n > 2 {
			t.Errorf("got %d warnings in the first minute, want 1 or 2:\n%s", n, &log)
		}
		if len(traced) < 5 || traced[0] == nil || traced[len(traced)-1] != nil {
			t.Errorf("Trace: got %v, want at least 4 errors and then nil", traced)
		}
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Count: -1, Err: down})
		if err := sub.Close(); !errors.Is(err, down) {
			t.Errorf("Close: got %v, want the error of the last save", err)
		}
		if err := sub.Close(); !errors.Is(err, down) {
			t.Errorf("second Close: got %v, want the same error", err)
		}
	})
}

// A position without an event follows the current event.
func TestCommitDoesNotWaitForPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1", "2"), steps(position("7"))), named(new(mock.Store)))
		defer sub.Close()
		synctest.Wait()
		n := 0
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if n == 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				err := sub.Commit(ctx)
				cancel()
				if err != nil {
					t.Errorf("Commit in the body of %s: %v", ev.ID, err)
				}
				break
			}
		}
	})
}

// Commit waits for an event that can no longer be acknowledged.
func TestCommitEndsWhenFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1", "2", "3")), named(store))
		defer sub.Close()
		a, _ := sub.Next(t.Context())
		b, _ := sub.Next(t.Context())
		c, _ := sub.Next(t.Context())
		newer := subscribe(t, script(), named(store))
		defer newer.Close()
		c.Ack()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		go func() { time.Sleep(time.Millisecond); a.Ack() }()
		err := sub.Commit(ctx)
		if !errors.Is(err, client.ErrFenced) {
			t.Errorf("Commit: got %v after %v (Ack: %v), want ErrFenced", err, time.Since(start), b.Ack())
		}
	})
}

func TestPositionAfterTheLastEventIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		feed := script(events("1"), steps(mock.Pause(time.Minute), position("7")))
		sub := subscribe(t, feed, named(store))
		defer sub.Close()
		data(t, sub, 1)
		time.Sleep(time.Hour)
		if r := readRecord(t, store); r.Token != "7" {
			t.Errorf("stored token: got %q an hour after the position, want 7", r.Token)
		}
	})
}

// The save that only shows that the owner is alive is not cut off by a Commit.
func TestCommitDuringAContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		owner := contest(t, store, 4)
		store.OnSave(&mock.Fault{Count: -1, Delay: 200 * time.Millisecond})
		time.Sleep(1100 * time.Millisecond) // during a save
		if err := owner.Commit(t.Context()); err != nil {
			t.Errorf("Commit: %v", err)
		}
		if s := owner.Stats(); s.SaveErrors != 0 || s.Saves == 0 {
			t.Errorf("Stats: got %d saves and %d failures, want saves and no failures", s.Saves, s.SaveErrors)
		}
		if err := owner.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// A look at the record that hangs or fails does no harm.
func TestLookGivesWayToCommitAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1", "2")), named(store))
		hung := &mock.Fault{Count: -1, Delay: time.Hour}
		store.OnLoad(hung)
		time.Sleep(31 * time.Second)
		if hung.Hits() == 0 {
			t.Error("got no look at the record in 31 s, want one")
		}
		data(t, sub, 1)
		start := time.Now()
		if err := sub.Commit(t.Context()); err != nil || time.Since(start) > 0 {
			t.Errorf("Commit: %v after %v, want nil at once", err, time.Since(start))
		}
		time.Sleep(31 * time.Second)
		start = time.Now()
		if err := sub.Close(); err != nil || time.Since(start) > 0 {
			t.Errorf("Close: %v after %v, want nil at once", err, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) { // nothing runs after the end of the context
		store := new(mock.Store)
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := client.Subscribe(ctx, script(), named(store)); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		look := &mock.Fault{Count: -1, Err: errors.New("looked at")}
		store.OnLoad(look)
		time.Sleep(time.Hour)
		if look.Hits() > 0 {
			t.Error("got a look at the record after the end, want none")
		}
	})
}
