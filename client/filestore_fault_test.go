//go:build !windows

package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

// A platter is a disk that remembers what each fsync has made durable: the bytes of a file, the
// names in a folder. Names that are not synced are lost with the power.
type platter struct {
	bytes map[string]string   // of files, by path
	names map[string][]string // in folders, by path
	fail  func(path string, dir bool) error
}

func newPlatter() *platter {
	return &platter{bytes: map[string]string{}, names: map[string][]string{}}
}

func (p *platter) fsync(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if p.fail != nil {
		if err := p.fail(f.Name(), info.IsDir()); err != nil {
			return err
		}
	}
	if !info.IsDir() {
		data, err := os.ReadFile(f.Name())
		p.bytes[f.Name()] = string(data)
		return err
	}
	names, err := f.Readdirnames(-1)
	p.names[f.Name()] = names
	return err
}

// has reports whether path, which is below root, survives a loss of power.
func (p *platter) has(path, root string) bool {
	for ; path != root; path = filepath.Dir(path) {
		if !slices.Contains(p.names[filepath.Dir(path)], filepath.Base(path)) {
			return false
		}
	}
	return true
}

func TestFileStoreSurvivesLossOfPower(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "made", "when", "needed")
	disk := newPlatter()
	s := client.FileStoreOn(dir, disk.fsync)
	if _, err := s.Save(t.Context(), "k", []byte("one"), ""); err != nil {
		t.Fatal(err)
	}
	if !disk.has(filepath.Join(dir, "k.json"), root) || disk.bytes[filepath.Join(dir, "k.json.tmp")] != "one" {
		t.Errorf("Save: got nil with the durable names %q and bytes %q, want the record among them", disk.names, disk.bytes)
	}
}

// The sync of a parent fails once. The next Save, in this process or in another one, must not
// consider the folder durable because it exists by then.
func TestFileStoreFolderThatCannotBeSynced(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "made", "when", "needed")
	disk := newPlatter()
	disk.fail = func(path string, dir bool) error {
		if filepath.Base(path) == "made" {
			return syscall.EIO
		}
		return nil
	}
	if _, err := client.FileStoreOn(dir, disk.fsync).Save(t.Context(), "k", []byte("one"), ""); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Save: %v, want EIO", err)
	}
	disk.fail = nil
	s := client.FileStoreOn(dir, disk.fsync)
	_, version, err := s.Load(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), "k", []byte("two"), version); err != nil {
		t.Fatal(err)
	}
	if !disk.has(filepath.Join(dir, "k.json"), root) {
		t.Errorf("Save: got nil with the durable names %q, want the record among them", disk.names)
	}
}

func TestFileStoreSyncErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		dir  bool // what cannot be synced
		err  error
		ok   bool
	}{
		{"file", false, syscall.EIO, false},
		{"file, not supported", false, syscall.EINVAL, false},
		{"folder", true, syscall.EIO, false},
		{"folder, no space", true, syscall.ENOSPC, false},
		{"folder, invalid", true, syscall.EINVAL, true},
		{"folder, not supported", true, syscall.ENOTSUP, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, disk := t.TempDir(), newPlatter()
			s := client.FileStoreOn(dir, disk.fsync)
			version, err := s.Save(t.Context(), "k", []byte("old"), "")
			if err != nil {
				t.Fatal(err)
			}
			disk.fail = func(path string, isDir bool) error {
				if isDir == c.dir {
					return &os.PathError{Op: "sync", Path: path, Err: c.err}
				}
				return nil
			}
			_, err = s.Save(t.Context(), "k", []byte("new"), version)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, c.err) {
				t.Errorf("Save: %v, want success %t", err, c.ok)
			}
			data, _, err := s.Load(t.Context(), "k")
			if err != nil || string(data) != "old" && string(data) != "new" {
				t.Errorf("Load: %q, %v, want the old record or the new one", data, err)
			}
		})
	}
}

// The rename works and the sync of the folder does not: Commit must not return nil because the
// record can be read.
func TestCommitOnABrokenDisk(t *testing.T) {
	disk := newPlatter()
	sub := subscribe(t, script(events("1", "2")), &client.Options{
		Name: "n", Store: client.FileStoreOn(t.TempDir(), disk.fsync), CommitEvery: -1,
	})
	defer sub.Close()
	data(t, sub, 1)
	disk.fail = func(_ string, dir bool) error {
		if dir {
			return syscall.EIO
		}
		return nil
	}
	for range 2 {
		if err := sub.Commit(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("Commit: %v, want EIO", err)
		}
	}
	disk.fail = nil
	if err := sub.Commit(t.Context()); err != nil {
		t.Errorf("Commit on a disk that works again: %v", err)
	}
}

func TestFileStoreNoticesThatItsLockIsDeleted(t *testing.T) {
	dir, disk := t.TempDir(), newPlatter()
	s := client.FileStoreOn(dir, disk.fsync)
	version, err := s.Save(t.Context(), "k", []byte("old"), "")
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(dir, "k.json.lock")
	disk.fail = func(string, bool) error { return os.Remove(lock) } // between lock and rename
	if _, err := s.Save(t.Context(), "k", []byte("new"), version); err == nil || !strings.Contains(err.Error(), "lock file was deleted") {
		t.Errorf("Save with a deleted lock file: got %v, want an error that names it", err)
	}
	disk.fail = nil
	if data, _, _ := s.Load(t.Context(), "k"); string(data) != "old" {
		t.Errorf("record: got %q, want the old one", data)
	}
	if _, err := s.Save(t.Context(), "k", []byte("new"), version); err != nil {
		t.Errorf("the next Save: %v", err)
	}
}

// The file that a process waits for is deleted. The process must then lock the file that the next
// one finds.
func TestLockFileThatIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, holds, err := client.LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	locked := make(chan bool, 1)
	go func() {
		unlock, holds, err := client.LockFile(t.Context(), path)
		if err != nil {
			t.Error(err)
			locked <- true
			return
		}
		defer unlock()
		locked <- holds()
	}()
	time.Sleep(50 * time.Millisecond) // usually long enough for it to open the file
	os.Remove(path)
	if holds() {
		t.Error("holds: got true for a lock on a deleted file, want false")
	}
	unlock()
	if !<-locked {
		t.Error("got a lock on a file that no longer exists, want one on its successor")
	}
}
