//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package client

import (
	"context"
	"os"
	"syscall"
	"time"
)

// lockPoll is the time between attempts to get a lock that another process holds. A save takes a
// few milliseconds, so the wait is short.
const lockPoll = 5 * time.Millisecond

const canSyncDirs = true

// A fileLock is an exclusive lock on the file at path. It ends with unlock or with the process.
type fileLock struct {
	file *os.File
	path string
}

// lockFile locks the file at path, which it creates and never removes. If another program removes
// the file, a lock on the removed file protects nothing, so the new file is locked.
func lockFile(ctx context.Context, path string) (*fileLock, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		l := &fileLock{f, path}
		if err := l.wait(ctx); err != nil {
			l.unlock()
			return nil, err
		}
		if l.holds() {
			return l, nil
		}
		l.unlock()
	}
}

// wait returns once the file is locked.
func (l *fileLock) wait(ctx context.Context) error {
	for {
		err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			return &os.PathError{Op: "lock", Path: l.path, Err: err}
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// holds reports whether the locked file is still the one at path.
func (l *fileLock) holds() bool {
	locked, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(l.path)
	return err == nil && os.SameFile(locked, there)
}

func (l *fileLock) unlock() { l.file.Close() }
