//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package client

import (
	"context"
	"errors"
)

const canSyncDirs = false

type fileLock struct{}

func lockFile(context.Context, string) (*fileLock, error) { return nil, errors.ErrUnsupported }

func (*fileLock) holds() bool { return false }

func (*fileLock) unlock() {}
