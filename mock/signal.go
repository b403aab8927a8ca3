package mock

import (
	"context"
	"time"
)

// A signal wakes all goroutines that wait for a change. The owner's mutex guards it, and is not
// held while waiting. The first waiter makes the channel, so that it belongs to the bubble in
// which it waits.
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

// atOnce is the shortest duration of a timer: under the race detector, Go 1.26 may crash on a
// timer in a bubble that is due when it starts.
const atOnce = time.Nanosecond

// pause waits for wake, for the given time (zero: no limit), or for the end of ctx.
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
