package client

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lockPoll is the time between attempts to get a lock that another process holds.
const lockPoll = 5 * time.Millisecond

// ERROR_SHARING_VIOLATION: another process has the file open.
const errSharing = syscall.Errno(32)

// Windows has no call to sync a directory, and NTFS journals the rename.
const canSyncDirs = false

// A fileLock is an exclusive lock. It ends with unlock or with the process.
type fileLock struct{ handle syscall.Handle }

// lockFile opens the file at path without sharing it: until unlock, nothing else can open or delete
// it.
func lockFile(ctx context.Context, path string) (*fileLock, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	for {
		h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
			syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
		if err == nil {
			return &fileLock{h}, nil
		}
		if !errors.Is(err, errSharing) {
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (*fileLock) holds() bool { return true }

func (l *fileLock) unlock() { syscall.CloseHandle(l.handle) }
