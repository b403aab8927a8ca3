// Package wait waits, in a bubble of testing/synctest or outside.
package wait

import (
	"context"
	"time"
)

// A Signal wakes all goroutines that wait for a change. The owner's mutex guards it, and is not
// held while waiting. The first waiter makes the channel, so that it belongs to the bubble in
// which it waits.
type Signal struct{ ch chan struct{} }

// Fired returns a channel that the next Fire closes.
func (s *Signal) Fired() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

// Fire wakes the goroutines that wait.
func (s *Signal) Fire() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// AtOnce is the shortest duration of a timer: under the race detector, Go 1.26 may crash on a
// timer in a bubble that is due when it starts.
const AtOnce = time.Nanosecond

// For waits for d, or for the end of ctx.
func For(ctx context.Context, d time.Duration) { Until(ctx, time.Now().Add(d), nil) }

// Until waits until t (zero: no limit), until wake is closed, or for the end of ctx.
func Until(ctx context.Context, t time.Time, wake <-chan struct{}) {
	var due <-chan time.Time
	if !t.IsZero() {
		timer := time.NewTimer(max(time.Until(t), AtOnce))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-due:
	}
}
