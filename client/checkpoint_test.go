package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

type stored struct {
	Epoch  uint64
	Owner  string
	Write  uint64
	Token  string
	Events uint64
	Saved  time.Time
}

// readRecord reads the record of the subscription "n".
func readRecord(t *testing.T, s client.Store) (r stored) {
	t.Helper()
	data, _, err := s.Load(context.Background(), "n")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("the record is not JSON: %v\n%s", err, data)
	}
	return r
}

func named(s client.Store) *client.Options { return &client.Options{Name: "n", Store: s} }

func TestAcksShareASave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		sub := subscribe(t, script(events("1", "2", "3", "4", "5")), named(store))
		defer sub.Close()
		data(t, sub, 5)
		synctest.Wait()
		if r := readRecord(t, store); r.Token != "" {
			t.Fatalf("saved at once: %+v", r)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if r := readRecord(t, store); r.Token != "5" || r.Events != 5 || r.Write != 1 {
			t.Errorf("after CommitEvery: %+v, want one save with token 5", r)
		}
		time.Sleep(time.Hour)
		if s := sub.Stats(); s.Saves != 1 || s.Checkpointed != 5 {
			t.Errorf("an idle subscription saves on: %+v", s)
		}
	})
}

func TestCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
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
			t.Fatalf("Commit while an earlier event is in hand: %v", err)
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
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(), nil)
		defer sub.Close()
		if sub.Commit(t.Context()) == nil {
			t.Error("Commit without a Store says that all is saved")
		}
	})
}

func TestFailingSave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
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
			t.Errorf("Commit: %v", err)
		}
		time.Sleep(time.Minute)
		if s := sub.Stats(); !errors.Is(s.CheckpointError, down) || s.ConsecutiveSaveErrors < 5 {
			t.Errorf("stats: %d failures, %v", s.ConsecutiveSaveErrors, s.CheckpointError)
		}
		outage.Remove()
		time.Sleep(time.Minute)
		if s := sub.Stats(); s.CheckpointError != nil || s.Checkpointed != 1 || readRecord(t, store).Token != "1" {
			t.Errorf("not retried: %+v", s)
		}
		if n := strings.Count(log.String(), "checkpoint not saved"); n < 1 || n > 2 {
			t.Errorf("%d warnings in the first minute:\n%s", n, &log)
		}
		if len(traced) < 5 || traced[0] == nil || traced[len(traced)-1] != nil {
			t.Errorf("trace saw %v", traced)
		}
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Count: -1, Err: down})
		if err := sub.Close(); !errors.Is(err, down) {
			t.Errorf("Close: %v, want the error of the last save", err)
		}
		if err := sub.Close(); !errors.Is(err, down) {
			t.Errorf("Close again: %v", err)
		}
	})
}

// TestSaveOfUnknownOutcome has saves land that are reported as failed. What is stored
// is found out by reading back, so it is neither a failure nor written twice.
func TestSaveOfUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		sub := subscribe(t, script(events("1", "2", "3")), named(store))
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		if err := sub.Commit(t.Context()); err != nil {
			t.Errorf("Commit of a save that landed: %v", err)
		}
		// Now the reading back fails, too.
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		store.OnLoad(&mock.Fault{Err: errors.New("timeout")})
		if err := sub.Commit(t.Context()); err == nil {
			t.Error("Commit is sure of an outcome that nobody knows")
		}
		data(t, sub, 1)
		if err := sub.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		if r := readRecord(t, store); r.Token != "3" || r.Epoch != 1 {
			t.Errorf("stored %+v", r)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

// lateStore fails a save and lets it land when the next one is about to.
type lateStore struct {
	*mock.Store
	fail, land bool
	data       []byte
	prev       string
}

func (s *lateStore) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if s.fail {
		s.fail, s.land, s.data, s.prev = false, true, data, prev
		return "", errors.New("timeout")
	}
	if s.land {
		s.land = false
		s.Store.Save(ctx, key, s.data, s.prev)
	}
	return s.Store.Save(ctx, key, data, prev)
}

// TestSaveThatLandsLate has a save land after it was seen not to have landed, and just
// before a newer one: the newer one must not be taken for stored.
func TestSaveThatLandsLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &lateStore{Store: mock.NewStore()}
		o := named(store)
		o.CommitEvery = -1
		sub := subscribe(t, script(events("1", "2")), o)
		defer sub.Close()
		data(t, sub, 1)
		store.fail = true
		if err := sub.Commit(t.Context()); err == nil {
			t.Error("Commit of a save that failed")
		}
		data(t, sub, 1)
		err := sub.Commit(t.Context())
		if r := readRecord(t, store); err == nil && r.Token != "2" {
			t.Errorf("Commit returned nil with token %q stored, want 2", r.Token)
		}
		if err := sub.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		if r := readRecord(t, store); r.Token != "2" {
			t.Errorf("token %q stored, want 2", r.Token)
		}
	})
}

func TestTakeOverOfUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		sub := subscribe(t, script(events("1")), named(store))
		if r := readRecord(t, store); r.Epoch != 1 {
			t.Errorf("epoch %d after one Subscribe", r.Epoch)
		}
		data(t, sub, 1)
		if err := sub.Close(); err != nil || readRecord(t, store).Token != "1" {
			t.Errorf("the record was taken over and cannot be saved: %v", err)
		}
	})
}

func TestNewerSubscriptionFencesTheOlder(t *testing.T) {
	for name, store := range map[string]client.Store{
		"in memory": mock.NewStore(),
		"in a file": client.FileStore(t.TempDir()),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				feed := script(events("1", "2", "3", "4"))
				older := subscribe(t, feed, named(store))
				data(t, older, 1)
				if err := older.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				ev, err := older.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				newer := subscribe(t, feed, named(store))
				got, _ := data(t, newer, 2)
				want(t, "the newer one resumes after what was saved", got, []string{"data 2", "data 3"})
				if err := newer.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				before := readRecord(t, store)

				ev.Ack() // in the older one, which does not know yet
				if err := older.Commit(t.Context()); !errors.Is(err, client.ErrFenced) {
					t.Errorf("Commit of the older one: %v", err)
				}
				if _, end := data(t, older, 0); !errors.Is(end, client.ErrFenced) {
					t.Errorf("the older one's loop ended with %v", end)
				}
				if err := ev.Ack(); !errors.Is(err, client.ErrFenced) {
					t.Errorf("Ack in the older one: %v", err)
				}
				if err := older.Close(); !errors.Is(err, client.ErrFenced) {
					t.Errorf("Close of the older one: %v", err)
				}
				if after := readRecord(t, store); after != before {
					t.Errorf("the older one changed the record from %+v to %+v", before, after)
				}
				data(t, newer, 1)
				if err := newer.Close(); err != nil || readRecord(t, store).Token != "4" {
					t.Errorf("the newer one cannot save: %v", err)
				}
			})
		})
	}
}

// TestNeverASilentRestart gives Subscribe stores that do not hold what they should.
func TestNeverASilentRestart(t *testing.T) {
	good := `{"format":1,"epoch":3,"owner":"o","write":1,"token":"7","events":7,"saved":"2026-01-02T03:04:05Z"}`
	cases := map[string]struct {
		prepare func(*mock.Store)
		op      string
	}{
		"corrupt":        {func(s *mock.Store) { s.Put("n", []byte("{\"format\":1,")) }, "read"},
		"truncated":      {func(s *mock.Store) { s.Put("n", []byte(good[:len(good)-20])) }, "read"},
		"empty":          {func(s *mock.Store) { s.Put("n", []byte{}) }, "read"},
		"not a record":   {func(s *mock.Store) { s.Put("n", []byte(`{"hello":"world"}`)) }, "read"},
		"no epoch":       {func(s *mock.Store) { s.Put("n", []byte(`{"format":1}`)) }, "read"},
		"junk behind":    {func(s *mock.Store) { s.Put("n", []byte(good+"x")) }, "read"},
		"another format": {func(s *mock.Store) { s.Put("n", []byte(strings.Replace(good, ":1,", ":2,", 1))) }, "read"},
		"unreadable":     {func(s *mock.Store) { s.OnLoad(&mock.Fault{Count: -1}) }, "load"},
		"read-only":      {func(s *mock.Store) { s.Put("n", []byte(good)); s.OnSave(&mock.Fault{Count: -1, Err: fs.ErrPermission}) }, "take over"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				store, feed := mock.NewStore(), script(events("1"))
				c.prepare(store)
				_, err := client.Subscribe(t.Context(), feed, named(store))
				var ce *client.CheckpointError
				if !errors.As(err, &ce) || ce.Op != c.op || ce.Name != "n" {
					t.Errorf("Subscribe: %v, want a CheckpointError of %q", err, c.op)
				}
				if len(feed.Attempts()) > 0 {
					t.Error("connected all the same")
				}
			})
		})
	}
	t.Run("on disk", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "n.json")
		os.WriteFile(file, []byte("\x00\x00\x00"), 0o600)
		_, err := client.Subscribe(t.Context(), deaf{}, named(client.FileStore(dir)))
		var ce *client.CheckpointError
		if !errors.As(err, &ce) || ce.Op != "read" {
			t.Errorf("corrupt file: %v", err)
		}
		_, err = client.Subscribe(t.Context(), deaf{}, named(client.FileStore(filepath.Join(file, "sub"))))
		if !errors.As(err, &ce) {
			t.Errorf("folder that cannot be made: %v", err)
		}
	})
	t.Run("a good record", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			store, feed := mock.NewStore(), script(events("1"))
			store.Put("n", []byte(good))
			sub := subscribe(t, feed, named(store))
			synctest.Wait()
			sub.Close()
			if got := tokens(feed); len(got) == 0 || got[0] != "7" {
				t.Errorf("resumed from %q, want 7", got)
			}
			if r := readRecord(t, store); r.Epoch != 4 || r.Token != "7" || r.Events != 7 {
				t.Errorf("taken over as %+v", r)
			}
		})
	})
}

// TestLostRecord has the store lose the record under a running subscription. A read that
// does not show it may be stale, so it is not believed at once, and never repaired by
// starting anew.
func TestLostRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		sub := subscribe(t, script(events("1", "2")), named(store))
		data(t, sub, 1)
		store.Put("n", nil)
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ev.Ack()
		_, end := data(t, sub, 0)
		var ce *client.CheckpointError
		if !errors.As(end, &ce) || errors.Is(end, client.ErrFenced) {
			t.Errorf("the loop ended with %v, want a CheckpointError", end)
		}
		sub.Close()
		if data, _, _ := store.Load(context.Background(), "n"); len(data) > 0 {
			t.Errorf("the record was made anew: %s", data)
		}
	})
}
