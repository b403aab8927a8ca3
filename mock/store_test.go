package mock_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
)

// errConflict stands for client.ErrConflict, which this package does not import.
var errConflict error = conflict{}

type conflict struct{}

func (conflict) Error() string  { return "conflict" }
func (conflict) Conflict() bool { return true }

var errDisk = errors.New("disk on fire")

func save(t *testing.T, s *mock.Store, data, prev string) (version string) {
	t.Helper()
	version, err := s.Save(t.Context(), "k", []byte(data), prev)
	if err != nil || version == "" || version == prev {
		t.Fatalf("Save(%q, %q): got version %q, %v, want a new version", data, prev, version, err)
	}
	return version
}

func wantSave(t *testing.T, s *mock.Store, data, prev string, want error) {
	t.Helper()
	if v, err := s.Save(t.Context(), "k", []byte(data), prev); !errors.Is(err, want) || v != "" {
		t.Errorf("Save(%q, %q): got version %q, %v, want error %v", data, prev, v, err, want)
	}
}

func wantLoad(t *testing.T, s *mock.Store, data, version string) {
	t.Helper()
	d, v, err := s.Load(t.Context(), "k")
	if string(d) != data || v != version || err != nil {
		t.Errorf("Load: got %q, version %q, %v, want %q, version %q", d, v, err, data, version)
	}
}

// loaded returns the version of the record, which must hold data.
func loaded(t *testing.T, s *mock.Store, data string) (version string) {
	t.Helper()
	d, version, err := s.Load(t.Context(), "k")
	if string(d) != data || err != nil {
		t.Errorf("Load: got %q, %v, want %q", d, err, data)
	}
	return version
}

func wantHistory(t *testing.T, s *mock.Store, want ...string) {
	t.Helper()
	var got []string
	for _, data := range s.History("k") {
		got = append(got, string(data))
	}
	equal(t, got, want)
}

func TestStoreComparesAndSwaps(t *testing.T) {
	s := new(mock.Store)
	if d, v, err := s.Load(t.Context(), "k"); d != nil || v != "" || err != nil {
		t.Errorf("Load of nothing: got %v, version %q, %v, want no record", d, v, err)
	}
	wantSave(t, s, "x", "1", errConflict)
	v1 := save(t, s, "a", "")
	wantSave(t, s, "x", "", errConflict)
	v2 := save(t, s, "b", v1)
	wantSave(t, s, "x", v1, errConflict)
	wantLoad(t, s, "b", v2)

	if _, err := s.Save(t.Context(), "other", nil, ""); err != nil {
		t.Errorf("Save under another key: got error %v", err)
	}
	if d, v, err := s.Load(t.Context(), "other"); d == nil || len(d) != 0 || v == "" || err != nil {
		t.Errorf("empty record: got %v, version %q, %v, want no bytes and a version", d, v, err)
	}
	wantHistory(t, s, "a", "b")
}

func TestStoreKeepsCopies(t *testing.T) {
	s := new(mock.Store)
	data := []byte("a")
	v, err := s.Save(t.Context(), "k", data, "")
	if err != nil {
		t.Fatal(err)
	}
	data[0] = 'x'
	d, _, _ := s.Load(t.Context(), "k")
	d[0] = 'x'
	s.History("k")[0][0] = 'x'
	wantLoad(t, s, "a", v)
	wantHistory(t, s, "a")
	s.Put("k", data)
	data[0] = 'y'
	wantHistory(t, s, "a", "x")
}

func TestStorePut(t *testing.T) {
	s := new(mock.Store)
	v := s.Put("k", []byte("planted"))
	wantLoad(t, s, "planted", v)
	v2 := save(t, s, "a", v)
	s.Put("k", []byte("changed elsewhere"))
	wantSave(t, s, "b", v2, errConflict)
	if v := s.Put("k", nil); v != "" {
		t.Errorf("removed record: got version %q, want none", v)
	}
	wantLoad(t, s, "", "")
	if v3 := save(t, s, "anew", ""); v3 == v || v3 == v2 {
		t.Errorf("got version %q twice, want a new one", v3)
	}
	wantHistory(t, s, "planted", "a", "changed elsewhere", "", "anew")
}

func TestStoreContext(t *testing.T) {
	s := new(mock.Store)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errDisk)
	if _, _, err := s.Load(ctx, "k"); err != errDisk {
		t.Errorf("Load: got error %v, want %v", err, errDisk)
	}
	if _, err := s.Save(ctx, "k", []byte("a"), ""); err != errDisk {
		t.Errorf("Save: got error %v, want %v", err, errDisk)
	}
	wantHistory(t, s)
}

func TestStoreSaveFails(t *testing.T) {
	s := new(mock.Store)
	first, second := &mock.Fault{}, &mock.Fault{Count: 2, Err: errDisk}
	s.OnSave(first)
	s.OnSave(second)
	if _, err := s.Save(t.Context(), "k", []byte("a"), ""); err == nil || errors.Is(err, errDisk) || errors.Is(err, errConflict) {
		t.Errorf("Save: got %v, want the default error", err)
	}
	wantSave(t, s, "a", "", errDisk)
	wantLoad(t, s, "", "")
	wantSave(t, s, "a", "", errDisk)
	save(t, s, "a", "")
	if first.Hits() != 1 || second.Hits() != 2 {
		t.Errorf("got %d and %d hits, want 1 and 2", first.Hits(), second.Hits())
	}
	wantHistory(t, s, "a")
}

func TestStoreReadOnly(t *testing.T) {
	s := new(mock.Store)
	v := s.Put("k", []byte("a"))
	readOnly := &mock.Fault{Count: -1, Err: fs.ErrPermission}
	s.OnSave(readOnly)
	for range 100 {
		wantSave(t, s, "b", v, fs.ErrPermission)
	}
	wantLoad(t, s, "a", v)
	readOnly.Remove()
	save(t, s, "b", v)
	if readOnly.Hits() != 100 {
		t.Errorf("got %d hits, want 100", readOnly.Hits())
	}
}

func TestStoreSaveTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(mock.Store)
		s.OnSave(&mock.Fault{Count: 2, Delay: time.Hour})
		start := time.Now()
		go func() {
			time.Sleep(30 * time.Minute)
			wantLoad(t, s, "", "") // the store does not wait, and the record is not there yet
		}()
		v := save(t, s, "a", "")
		if d := time.Since(start); d != time.Hour {
			t.Errorf("Save took %v, want an hour", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Save(ctx, "k", []byte("b"), v); err != context.DeadlineExceeded {
			t.Errorf("Save: got error %v, want %v", err, context.DeadlineExceeded)
		}
		wantLoad(t, s, "a", v)
	})
}

// A slow Save compares the version when it takes effect, not when it is called.
func TestStoreSlowSaveComparesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(mock.Store)
		s.OnSave(&mock.Fault{Delay: time.Hour})
		go func() {
			time.Sleep(time.Minute)
			save(t, s, "fast", "")
		}()
		wantSave(t, s, "slow", "", errConflict)
		wantHistory(t, s, "fast")
	})
}

func TestStoreSaveAppliedButReportedAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(mock.Store)
		s.OnSave(&mock.Fault{Applied: true})
		s.OnSave(&mock.Fault{Applied: true, Err: errDisk, Delay: time.Hour})
		if _, err := s.Save(t.Context(), "k", []byte("a"), ""); err == nil || errors.Is(err, errConflict) {
			t.Errorf("Save: got %v, want an error that is not a conflict", err)
		}
		v := loaded(t, s, "a")
		go func() {
			time.Sleep(time.Minute)
			loaded(t, s, "b")
		}()
		wantSave(t, s, "b", v, errDisk)
		wantHistory(t, s, "a", "b")

		s.OnSave(&mock.Fault{Applied: true, Delay: time.Hour})
		v2 := loaded(t, s, "b")
		if _, err := s.Save(t.Context(), "k", []byte("c"), v2); err == nil || errors.Is(err, errConflict) {
			t.Errorf("Save: got %v, want an error that is not a conflict", err)
		}

		// A comparison that fails is a conflict whatever the fault is.
		s.OnSave(&mock.Fault{Applied: true, Err: errDisk})
		wantSave(t, s, "d", v, errConflict)
		wantHistory(t, s, "a", "b", "c")
	})
}

func TestStoreLoadFails(t *testing.T) {
	s := new(mock.Store)
	v := s.Put("k", []byte("a"))
	s.OnLoad(&mock.Fault{Err: errDisk})
	if d, v, err := s.Load(t.Context(), "k"); d != nil || v != "" || err != errDisk {
		t.Errorf("Load: got %q, version %q, %v, want error %v", d, v, err, errDisk)
	}
	wantLoad(t, s, "a", v)
}

func TestStoreStaleRead(t *testing.T) {
	s := new(mock.Store)
	stale := &mock.Fault{Count: -1, Stale: true}
	s.OnLoad(stale)
	wantLoad(t, s, "", "")
	v1 := save(t, s, "a", "")
	wantLoad(t, s, "", "")
	v2 := save(t, s, "b", v1)
	wantLoad(t, s, "a", v1)
	stale.Remove()
	wantLoad(t, s, "b", v2)
}

func TestFaultOfLoadsAndSaves(t *testing.T) {
	s := new(mock.Store)
	f := &mock.Fault{Count: 4, Err: errDisk}
	s.OnLoad(f)
	s.OnSave(f)
	for range 2 {
		if _, _, err := s.Load(t.Context(), "k"); err != errDisk {
			t.Errorf("Load: got error %v, want %v", err, errDisk)
		}
		wantSave(t, s, "a", "", errDisk)
	}
	wantLoad(t, s, "", "")
	save(t, s, "a", "")
	if f.Hits() != 4 {
		t.Errorf("got %d hits, want 4", f.Hits())
	}
}

// Concurrent writers never overwrite each other: each save in the history builds on the one
// before.
func TestStoreIsLinearizable(t *testing.T) {
	s := new(mock.Store)
	s.OnSave(&mock.Fault{Count: 20, Applied: true})
	s.OnLoad(&mock.Fault{Count: 20, Stale: true})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				data, version, err := s.Load(t.Context(), "k")
				if err != nil {
					t.Error(err)
				}
				n, _ := strconv.Atoi(string(data))
				s.Save(t.Context(), "k", fmt.Append(nil, n+1), version)
			}
		})
	}
	wg.Wait()
	var want []string
	for i := range s.History("k") {
		want = append(want, strconv.Itoa(i+1))
	}
	if len(want) < 50 {
		t.Errorf("got %d saves that took effect, want at least 50", len(want))
	}
	wantHistory(t, s, slices.Clip(want)...)
}
