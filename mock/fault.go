package mock

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Fault is something that goes wrong with calls of a [Store]: see [Store.OnLoad] and
// [Store.OnSave]. Its fields must not change once it is in use.
//
// The zero Fault lets one call fail. A store that is read-only is one on whose saves
// lies a Fault{Count: -1, Err: fs.ErrPermission}.
type Fault struct {
	// Count is how many calls the fault meets before it is used up. Negative: every
	// call until Remove. Default 1.
	Count int

	// Delay is how long the call takes. When its context ends sooner, the call returns
	// the context's cause. A Save is applied after the delay, unless Applied says
	// otherwise. Default none.
	Delay time.Duration

	// Err is what the call returns. Default an error of this package, and for a fault
	// that has only a Delay, or is Stale, none.
	Err error

	// Applied makes a Save that fails take effect all the same, before the Delay: the
	// caller cannot know the outcome. Default false.
	Applied bool

	// Stale makes a Load return the record as it was before the latest change of it.
	// Default false.
	Stale bool

	harmless bool // the call goes on as if there were no fault

	mu      sync.Mutex
	hits    int
	removed bool
	changed signal
}

// errInjected is the failure of a Fault that names none.
var errInjected = errors.New("mock: injected fault")

// Hits returns how many calls the fault has met.
func (f *Fault) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Wait returns nil once the fault has met n calls. The error is the cause of ctx.
func (f *Fault) Wait(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		hits, wake := f.hits, f.changed.wait()
		f.mu.Unlock()
		if hits >= n {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pause(ctx, wake, time.Time{})
	}
}

// Remove lets the fault meet no further call. A call that it has met goes on.
func (f *Fault) Remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = true
}

// meet reports whether the fault meets this call.
func (f *Fault) meet() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.removed || f.Count >= 0 && f.hits >= max(f.Count, 1) {
		return false
	}
	f.hits++
	f.changed.fire()
	return true
}

// befall is what happens to a call that meets the fault: it takes its time and fails. A
// nil Fault does nothing.
func (f *Fault) befall(ctx context.Context) error {
	if f != nil && f.harmless {
		f = nil
	}
	if f != nil && f.Delay > 0 {
		pause(ctx, nil, time.Now().Add(f.Delay))
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
