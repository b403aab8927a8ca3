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
)

// FileStore returns a Store that keeps each record in a file of its own in dir, which
// it creates when needed. The file's name is the key, path-escaped, with ".json".
//
// A record is written to a temporary file, synced, renamed over the old one, and the
// folder is synced: after a crash or a loss of power there is either the old record or
// the new one. A lock on a second file keeps processes on one machine from writing at
// the same time. Network file systems often promise neither; use a database there.
func FileStore(dir string) Store { return fileStore{dir} }

type fileStore struct{ dir string }

func (s fileStore) path(key string) string {
	return filepath.Join(s.dir, url.PathEscape(key)+".json")
}

func (s fileStore) Load(ctx context.Context, key string) ([]byte, string, error) {
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

func (s fileStore) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", fmt.Errorf("client: FileStore: %w", err)
	}
	path := s.path(key)
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return "", fmt.Errorf("client: FileStore: lock: %w", err)
	}
	defer unlock()
	_, version, err := s.Load(ctx, key)
	if err != nil {
		return "", err
	}
	if version != prev {
		return "", ErrConflict
	}
	if err := replaceFile(path, data); err != nil {
		return "", fmt.Errorf("client: FileStore: %w", err)
	}
	return fileVersion(data), nil
}

// fileVersion is the version of a record. No two records of a subscription are the
// same, because each has its own epoch and number.
func fileVersion(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// replaceFile makes path hold data durably, or leaves it as it is. The caller has the
// lock.
func replaceFile(path string, data []byte) error {
	temp := path + ".tmp" // one name is enough under the lock, and none piles up
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
