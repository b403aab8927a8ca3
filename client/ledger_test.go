package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// Saves land that are reported as failed. Reading back shows it, so they neither count as failures
// nor are written twice.
func TestSaveOfUnknownOutcomeIsReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1", "2", "3")), named(store))
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		if err := sub.Commit(t.Context()); err != nil {
			t.Errorf("Commit of a save that landed: %v", err)
		}
		// Now the read fails, too.
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		store.OnLoad(&mock.Fault{Err: errors.New("timeout")})
		if err := sub.Commit(t.Context()); err == nil {
			t.Error("Commit of unknown outcome: got nil, want an error")
		}
		data(t, sub, 1)
		if err := sub.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		if r := readRecord(t, store); r.Token != "3" || r.Epoch != 1 {
			t.Errorf("record: got %+v, want token 3 of epoch 1", r)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

// lateStore fails a save and lets it land just before the next one.
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

// A save lands after a read has shown that it had not, and just before a newer one.
func TestSaveThatLandsLateIsNotTakenForANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lateStore{Store: new(mock.Store)}
		o := named(store)
		o.CommitEvery = -1
		sub := subscribe(t, script(events("1", "2")), o)
		defer sub.Close()
		data(t, sub, 1)
		store.fail = true
		if err := sub.Commit(t.Context()); err == nil {
			t.Error("Commit with a failed save: got nil, want an error")
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
			t.Errorf("stored token: got %q, want 2", r.Token)
		}
	})
}

func TestUnreadableRecordIsNeverReplaced(t *testing.T) {
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
		"trailing data":  {func(s *mock.Store) { s.Put("n", []byte(good+"x")) }, "read"},
		"another format": {func(s *mock.Store) { s.Put("n", []byte(strings.Replace(good, ":1,", ":2,", 1))) }, "read"},
		"unreadable":     {func(s *mock.Store) { s.OnLoad(&mock.Fault{Count: -1}) }, "load"},
		"read-only":      {func(s *mock.Store) { s.Put("n", []byte(good)); s.OnSave(&mock.Fault{Count: -1, Err: fs.ErrPermission}) }, "take over"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, feed := new(mock.Store), script(events("1"))
				c.prepare(store)
				_, err := client.Subscribe(t.Context(), feed, named(store))
				var ce *client.CheckpointError
				if !errors.As(err, &ce) || ce.Op != c.op || ce.Name != "n" {
					t.Errorf("Subscribe: %v, want a CheckpointError of %q", err, c.op)
				}
				if len(feed.Attempts()) > 0 {
					t.Error("got a connection without the position, want none")
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
			t.Errorf("Subscribe with a corrupt file: got %v, want a CheckpointError", err)
		}
		_, err = client.Subscribe(t.Context(), deaf{}, named(client.FileStore(filepath.Join(file, "sub"))))
		if !errors.As(err, &ce) {
			t.Errorf("Subscribe with a folder that cannot be made: got %v, want a CheckpointError", err)
		}
	})
	t.Run("a good record", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, feed := new(mock.Store), script(events("1"))
			store.Put("n", []byte(good))
			sub := subscribe(t, feed, named(store))
			synctest.Wait()
			sub.Close()
			if got := tokens(feed); len(got) == 0 || got[0] != "7" {
				t.Errorf("resumed from %q, want 7", got)
			}
			if r := readRecord(t, store); r.Epoch != 4 || r.Token != "7" || r.Events != 7 {
				t.Errorf("record after the takeover: got %+v, want epoch 4, token 7 and 7 events", r)
			}
		})
	})
}

// A read that does not show the record may be stale, so it is not believed at once. The record is
// never started again.
func TestLostRecordEndsTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
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
			t.Errorf("record: got a new one %s, want none", data)
		}
	})
}

// A save lands that a stale read does not show, so a newer one conflicts with it.
func TestConflictAfterAStaleReadIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		o := named(store)
		o.CommitEvery = -1
		sub := subscribe(t, script(events("1", "2", "3")), o)
		defer sub.Close()
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		store.OnLoad(&mock.Fault{Stale: true})
		if err := sub.Commit(t.Context()); err == nil {
			t.Fatal("Commit with a failed save: got nil, want an error")
		}
		data(t, sub, 1)
		if err := sub.Commit(t.Context()); err == nil && readRecord(t, store).Token != "2" {
			t.Errorf("Commit returned nil, stored token is %q, want 2", readRecord(t, store).Token)
		}
	})
}

// A replica lags for a moment in which a save fails.
func TestBrieflyStaleReadsAreTolerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1", "2")), named(store))
		defer sub.Close()
		data(t, sub, 1)
		if err := sub.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		data(t, sub, 1)
		// A replica lags by one write for a moment; Save has failed in that moment.
		store.OnSave(&mock.Fault{Err: errors.New("leader lost")})
		store.OnLoad(&mock.Fault{Stale: true, Count: 5})
		start := time.Now()
		for range 10 {
			if err := sub.Commit(t.Context()); err == nil {
				return
			}
		}
		_, err := sub.Next(t.Context())
		t.Errorf("got %v after %v, want a Commit that succeeds", err, time.Since(start))
	})
}

// JSON cannot hold such bytes.
func TestTokenThatIsNotUTF8IsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("caf\xe9", "2"))
		o := named(new(mock.Store))
		sub := subscribe(t, feed, o)
		data(t, sub, 1)
		sub.Close()
		sub = subscribe(t, feed, o)
		defer sub.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ev, _ := sub.Next(ctx)
		ts := tokens(feed)
		if ts[1] != "caf\xe9" || ev.ID != "2" || ev.Gap != nil {
			t.Errorf("got event %q with gap %v after token %q, want 2 without one after caf\\xe9", ev.ID, ev.Gap, ts[1])
		}
	})
}

// syncedStore knows which record is on stable storage: the last one for which Save returned nil. A
// record that a failed Save left in the cache can be read nevertheless.
type syncedStore struct {
	*mock.Store
	mu     sync.Mutex
	synced []byte
}

func (s *syncedStore) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	version, err := s.Store.Save(ctx, key, data, prev)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.synced = data
	}
	return version, err
}

// stable returns what a loss of power would leave.
func (s *syncedStore) stable() (r stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	json.Unmarshal(s.synced, &r)
	return r
}

// Renames work and fsync fails: every record can be read back, and none survives a loss of power.
func TestRecordThatLandedIsNotDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &syncedStore{Store: new(mock.Store)}
		sub := subscribe(t, script(events("1", "2")), named(store))
		data(t, sub, 1)
		broken := errors.New("fsync: input/output error")
		fault := &mock.Fault{Count: -1, Applied: true, Err: broken}
		store.OnSave(fault)
		for range 3 {
			if err := sub.Commit(t.Context()); !errors.Is(err, broken) {
				t.Errorf("Commit while nothing becomes durable: got %v, want an error", err)
			}
			time.Sleep(time.Minute)
		}
		if s := sub.Stats(); s.Checkpointed != 0 || !errors.Is(s.CheckpointError, broken) {
			t.Errorf("Stats: got %d events checkpointed, error %v, want 0, %v", s.Checkpointed, s.CheckpointError, broken)
		}
		fault.Remove()
		if err := sub.Commit(t.Context()); err != nil || store.stable().Token != "1" {
			t.Errorf("Commit: %v, %q is durable, want nil and 1", err, store.stable().Token)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // only the last save of a Close fails
		store := &syncedStore{Store: new(mock.Store)}
		sub := subscribe(t, script(events("1")), named(store))
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Count: -1, Applied: true})
		if err := sub.Close(); err == nil {
			t.Errorf("Close: got nil with %q durable, want an error", store.stable().Token)
		}
	})
}

// Otherwise a loss of power could bring an older owner back.
func TestTakeoverIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &syncedStore{Store: new(mock.Store)}
		store.OnSave(&mock.Fault{Applied: true})
		sub := subscribe(t, script(), named(store))
		if r := store.stable(); r.Epoch != 1 {
			t.Errorf("durable epoch after Subscribe: got %d, want 1", r.Epoch)
		}
		sub.Close()
		store.OnSave(&mock.Fault{Count: -1, Applied: true})
		var failed *client.CheckpointError
		if _, err := client.Subscribe(t.Context(), deaf{}, named(store)); !errors.As(err, &failed) || failed.Op != "take over" {
			t.Errorf("Subscribe: %v, want a CheckpointError of the takeover", err)
		}
	})
}
