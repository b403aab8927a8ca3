package mock

import (
	"context"
	"time"
)

// A signal wakes everyone who waits for a change. It is guarded by its owner's mutex,
// which nobody holds while waiting. The channel is made by the first who waits, so that
// it belongs to the bubble in which the waiting happens.
type signal struct{ ch chan struct{} }

// wait returns a channel that the next fire closes.
func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// atOnce is the shortest that a timer waits: Go 1.26 may crash, under the race detector, on one
// in a bubble that is due when it starts.
const atOnce = time.Nanosecond

// pause waits for wake, for the given time (zero: none is set), or for ctx.
func pause(ctx context.Context, wake <-chan struct{}, until time.Time) {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(max(time.Until(until), atOnce))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-due:
	}
}
