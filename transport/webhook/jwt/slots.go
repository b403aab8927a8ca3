package jwt

import (
	"context"
	"runtime"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// slots limits concurrent public-key checks to the number of processors.
type slots chan struct{}

func newSlots() slots { return make(slots, runtime.GOMAXPROCS(0)) }

// take waits for a slot until r.Context or r.Deadline ends. leave releases it.
func (s slots) take(r *provider.Request) error {
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	ctx := r.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if !r.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.Deadline)
		defer cancel()
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busyError("the request ended before its token was verified")
	}
}

func (s slots) leave() { <-s }

// busyError is why a request cannot be verified for now.
type busyError string

func (e busyError) Error() string { return string(e) }

// Busy returns true.
func (e busyError) Busy() bool { return true }
