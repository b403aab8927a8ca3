//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package client

import (
	"context"
	"errors"
)

func lockFile(context.Context, string) (unlock func(), err error) { return nil, errors.ErrUnsupported }

func syncDir(string) error { return nil }
