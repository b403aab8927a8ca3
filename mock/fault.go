package mock

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A Fault makes calls of a [Store] fail or misbehave: see [Store.OnLoad] and [Store.OnSave].
// Its fields must not change once it is in use.
//
// The zero Fault makes one call fail. For a read-only store, use OnSave(&Fault{Count: -1, Err:
// fs.ErrPermission}).
type Fault struct {
	// Count is the number of calls that the fault affects. Negative: every call until Remove.
	// Default: 1.
	Count int

	// Delay is how long the call takes. If its context ends sooner, the call returns the
	// context's cause. A Save takes effect after the delay, unless Applied is set. Default:
	// none.
	Delay time.Duration

	// Err is what the call returns. Default: an error of this package, or nil for a fault with
	// a Delay or Stale and without Applied.
	Err error

	// Applied makes a failing Save take effect before the Delay, so that the caller cannot know
	// the outcome. Default: false.
	Applied bool

	// Stale makes a Load return the record as it was before its latest change. Default: false.
	Stale bool

	harmless bool // the call proceeds as if there were no fault

	mu      sync.Mutex
	hits    int
	removed bool
}

// errInjected is the default Err of a Fault.
var errInjected = errors.New("mock: injected fault")

// Hits returns the number of calls that the fault has affected.
func (f *Fault) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Remove keeps the fault from affecting further calls. A call that it already affects
// continues.
func (f *Fault) Remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = true
}

// hit reports whether the fault affects this call, and counts the call.
func (f *Fault) hit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.removed || f.Count >= 0 && f.hits >= max(f.Count, 1) {
		return false
	}
	f.hits++
	return true
}

// apply applies the fault to a call: it waits for the Delay and returns the error. For a nil
// Fault only an ended context is an error.
func (f *Fault) apply(ctx context.Context) error {
	if f != nil && f.harmless {
		f = nil
	}
	if f != nil && f.Delay > 0 {
		wait.For(ctx, f.Delay)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case f == nil:
		return nil
	case f.Err == nil && (f.Applied || f.Delay == 0 && !f.Stale):
		return errInjected
	}
	return f.Err
}
