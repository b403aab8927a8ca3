package client

import (
	"context"
	"os"
)

// LockFile is the lock of FileStore. holds reports whether it still counts.
func LockFile(ctx context.Context, path string) (unlock func(), holds func() bool, err error) {
	l, err := lockFile(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	return l.unlock, l.holds, nil
}

// FileStoreOn returns a FileStore whose disk is synced by fsync.
func FileStoreOn(dir string, fsync func(*os.File) error) Store { return &fileStore{dir, fsync} }
