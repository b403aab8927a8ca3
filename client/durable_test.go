package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// syncedStore knows which record is on stable storage: the last one that a Save returned
// nil for. What a failed Save has left in the cache is read all the same.
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

// TestLandedIsNotDurable has a disk on which renames work and fsync fails: every record can
// be read back, and none survives a loss of power.
func TestLandedIsNotDurable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &syncedStore{Store: mock.NewStore()}
		sub := subscribe(t, script(events("1", "2")), named(store))
		data(t, sub, 1)
		broken := errors.New("fsync: input/output error")
		fault := &mock.Fault{Count: -1, Applied: true, Err: broken}
		store.OnSave(fault)
		for range 3 {
			if err := sub.Commit(t.Context()); !errors.Is(err, broken) {
				t.Errorf("Commit while nothing becomes durable: %v", err)
			}
			time.Sleep(time.Minute)
		}
		if s := sub.Stats(); s.Checkpointed != 0 || !errors.Is(s.CheckpointError, broken) {
			t.Errorf("Stats: %d events checkpointed, error %v", s.Checkpointed, s.CheckpointError)
		}
		fault.Remove()
		if err := sub.Commit(t.Context()); err != nil || store.stable().Token != "1" {
			t.Errorf("Commit: %v, %q is durable, want nil and 1", err, store.stable().Token)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
	bubble(t, func(t *testing.T) { // only the last save of a Close fails
		store := &syncedStore{Store: mock.NewStore()}
		sub := subscribe(t, script(events("1")), named(store))
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Count: -1, Applied: true})
		if err := sub.Close(); err == nil {
			t.Errorf("Close: nil, although %q is durable", store.stable().Token)
		}
	})
}

// TestTakeOverIsDurable: without that, a loss of power could bring an older owner back.
func TestTakeOverIsDurable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &syncedStore{Store: mock.NewStore()}
		store.OnSave(&mock.Fault{Applied: true})
		sub := subscribe(t, script(), named(store))
		if r := store.stable(); r.Epoch != 1 {
			t.Errorf("epoch %d is durable after Subscribe, want 1", r.Epoch)
		}
		sub.Close()
		store.OnSave(&mock.Fault{Count: -1, Applied: true})
		var failed *client.CheckpointError
		if _, err := client.Subscribe(t.Context(), deaf{}, named(store)); !errors.As(err, &failed) || failed.Op != "take over" {
			t.Errorf("Subscribe: %v, want a CheckpointError of the takeover", err)
		}
	})
}
