package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
)

// FileStore returns a Store that keeps each record in a separate file in dir. It creates dir when
// needed. The file's name is the path-escaped key with ".json" appended.
//
// A record is written to a temporary file, synced and renamed over the old one; then the directory
// is synced. Before the first record is written, its parents are synced as well. After a crash or
// a power failure, the file holds either the old record or the new one. A Save fails if any of
// these syncs fails, with one exception: a directory that does not support fsync (EINVAL, ENOTSUP:
// some network and FUSE file systems) is not synced, and a power failure may bring the old record
// back.
//
// A lock on a second file keeps processes on one machine from writing at the same time. Do not
// delete the lock file while a subscription runs: a Save that detects this fails. Network file
// systems often guarantee neither locks nor durability; use a database there.
func FileStore(dir string) Store { return &fileStore{dir, (*os.File).Sync} }

type fileStore struct {
	dir   string
	fsync func(*os.File) error
}

func (s *fileStore) path(key string) string {
	return filepath.Join(s.dir, url.PathEscape(key)+".json")
}

func (s *fileStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", context.Cause(ctx)
	}
	// A rename is atomic, so a reader needs no lock.
	data, err := os.ReadFile(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("client: FileStore: %w", err)
	}
	return data, fileVersion(data), nil
}

func (s *fileStore) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", fmt.Errorf("client: FileStore: %w", err)
	}
	path := s.path(key)
	lock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return "", fmt.Errorf("client: FileStore: lock: %w", err)
	}
	defer lock.unlock()
	_, version, err := s.Load(ctx, key)
	if err != nil {
		return "", err
	}
	if version != prev {
		return "", ErrConflict
	}
	if version == "" {
		err = s.syncParents() // they may be new, and a crash may have interrupted an earlier try
	}
	if err == nil {
		err = s.replace(path, data, lock)
	}
	if err != nil {
		return "", fmt.Errorf("client: FileStore: %w", err)
	}
	return fileVersion(data), nil
}

// fileVersion returns the version of a record. No two records of a subscription are the same,
// because each has its own epoch and number.
func fileVersion(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

var errNoLock = errors.New("the lock file was deleted or replaced during the save")

// replace makes path hold data durably, or leaves it unchanged. The caller holds the lock.
func (s *fileStore) replace(path string, data []byte, lock *fileLock) error {
	temp := path + ".tmp" // one name is enough under the lock, and none piles up
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, s.fsync(f), f.Close()); err != nil {
		return err
	}
	if !lock.holds() {
		return errNoLock
	}
	if err = os.Rename(temp, path); err != nil {
		return err
	}
	return s.syncDir(filepath.Dir(path))
}

// syncParents syncs the directories above dir, up to the first one that cannot be opened: that one
// was not created here.
func (s *fileStore) syncParents() error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		if err := s.syncDir(parent); errors.Is(err, fs.ErrPermission) {
			return nil
		} else if err != nil {
			return err
		}
		dir = parent
	}
	return nil
}

// syncDir syncs the entries of dir, if its file system supports that.
func (s *fileStore) syncDir(dir string) error {
	if !canSyncDirs {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = s.fsync(d)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
