package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

func TestFileStore(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "made", "when", "needed")
	s := client.FileStore(dir)
	data, version, err := s.Load(ctx, "a")
	if data != nil || version != "" || err != nil {
		t.Fatalf("Load of nothing: got %q, version %q, %v, want no record", data, version, err)
	}
	v1, err := s.Save(ctx, "a", []byte("one"), "")
	if err != nil {
		t.Fatal(err)
	}
	if data, version, err = s.Load(ctx, "a"); string(data) != "one" || version != v1 || err != nil {
		t.Fatalf("Load after Save: got %q, version %q, %v, want one, version %q", data, version, err, v1)
	}
	v2, err := s.Save(ctx, "a", []byte("two"), v1)
	if err != nil {
		t.Fatal(err)
	}
	for _, stale := range []string{"", v1, "nonsense"} {
		if _, err := s.Save(ctx, "a", []byte("three"), stale); !errors.Is(err, client.ErrConflict) {
			t.Errorf("Save over version %q: %v, want a conflict", stale, err)
		}
	}
	if data, version, _ := s.Load(ctx, "a"); string(data) != "two" || version != v2 {
		t.Errorf("record after a conflict: got %q, version %q, want two, version %q", data, version, v2)
	}
}

func TestFileStoreKeys(t *testing.T) {
	dir := t.TempDir()
	s := client.FileStore(dir)
	keys := []string{"plain", "with/slash", "../up", "..", ".hidden", "sp ace", "ü", "a%2Fb", "a/b", "nul\x00"}
	for _, k := range keys {
		if _, err := s.Save(t.Context(), k, []byte(k), ""); err != nil {
			t.Errorf("key %q: %v", k, err)
		}
	}
	for _, k := range keys {
		if data, _, err := s.Load(t.Context(), k); string(data) != k || err != nil {
			t.Errorf("key %q: got %q, %v, want the key", k, data, err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(dir)); len(entries) != 1 {
		t.Errorf("got entries %v, want only the folder", entries)
	}
}

func TestFileStoreSurvivesACrashedSave(t *testing.T) {
	dir := t.TempDir()
	s := client.FileStore(dir)
	v, err := s.Save(t.Context(), "k", []byte("good"), "")
	if err != nil {
		t.Fatal(err)
	}
	// A process that dies between write and rename leaves this file.
	if err := os.WriteFile(filepath.Join(dir, "k.json.tmp"), []byte("torn record, longer than the next one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, _, _ := s.Load(t.Context(), "k"); string(data) != "good" {
		t.Fatalf("record after a crash during a save: got %q, want good", data)
	}
	if _, err := s.Save(t.Context(), "k", []byte("next"), v); err != nil {
		t.Fatal(err)
	}
	if data, _, _ := s.Load(t.Context(), "k"); string(data) != "next" {
		t.Fatalf("record: got %q, want the next one", data)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			t.Errorf("got the file %s after a save, want none", e.Name())
		}
	}
}

// Many goroutines count up one record: every successful save must have seen the previous one.
func TestFileStoreIsLinearizable(t *testing.T) {
	const writers, each = 8, 10
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			s := client.FileStore(dir)
			for done := 0; done < each; {
				data, v, err := s.Load(t.Context(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(data))
				_, err = s.Save(t.Context(), "n", []byte(strconv.Itoa(n+1)), v)
				switch {
				case err == nil:
					done++
				case !errors.Is(err, client.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	data, _, _ := client.FileStore(dir).Load(t.Context(), "n")
	if string(data) != strconv.Itoa(writers*each) {
		t.Errorf("counted to %s, want %d", data, writers*each)
	}
}

func TestFileStoreErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := client.FileStore(filepath.Join(file, "dir")) // can be neither read nor made
	if _, _, err := s.Load(t.Context(), "k"); err == nil {
		t.Error("Load returned nil, want an error")
	}
	if _, err := s.Save(t.Context(), "k", nil, ""); err == nil || errors.Is(err, client.ErrConflict) {
		t.Errorf("Save: %v, want an error that is no conflict", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cause")
	cancel(cause)
	if _, err := client.FileStore(t.TempDir()).Save(ctx, "k", nil, ""); !errors.Is(err, cause) {
		t.Errorf("Save with an ended context: %v, want %v", err, cause)
	}
}

func TestFileStoreWaitsForTheLock(t *testing.T) {
	dir := t.TempDir()
	unlock, _, err := client.LockFile(t.Context(), filepath.Join(dir, "k.json.lock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.FileStore(dir).Save(ctx, "k", []byte("x"), ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Save while another process has the lock: %v, want %v", err, context.DeadlineExceeded)
	}
	unlock()
	if _, err := client.FileStore(dir).Save(t.Context(), "k", []byte("x"), ""); err != nil {
		t.Errorf("Save after the lock was released: %v", err)
	}
}
