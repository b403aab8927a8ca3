package provider

import (
	"context"
	"runtime"
)

// slots bounds checks that cost more than the rest of a request: more of them at once than
// there are processors would only wait for each other.
type slots chan struct{}

func newSlots() slots { return make(slots, runtime.GOMAXPROCS(0)) }

// take waits for a slot as long as somebody waits for r's answer. leave gives it back.
func (s slots) take(r *Request) error {
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
		return busy()
	}
}

func (s slots) leave() { <-s }
