package client

import "context"

// A tail is the end of a feed's initial state. It is reached once.
type tail struct {
	reached chan struct{} // closed when it is reached; the window is marked before
}

func (t *tail) isReached() bool { return isClosed(t.reached) }

// reachTail records that what was received so far is the initial state. If no event of it has
// reported that, the next event does. The caller holds mu.
func (in *intake) reachTail(next bool) {
	if in.tail.isReached() {
		return
	}
	in.window.SetMark()
	close(in.tail.reached)
	in.atTail = next
	if f := in.report.trace.CaughtUp; f != nil {
		f()
	}
}

// complete records that the feed is complete.
func (in *intake) complete() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.reachTail(false)
}

// CaughtUp returns nil once the initial state of the feed has been handled: it was received
// completely, and every event of it is acknowledged. The initial state is complete with the first
// message whose [transport.Message].CaughtUp is set, when [Options.Backfill] has delivered what was
// before the first connection or a rejected token, or when the feed is complete. A feed
// that resumes from a stored position and has no such message is never caught up: give ctx a
// deadline. If ctx ends first, CaughtUp returns its cause. If the subscription ends first, the error
// is that of Next.
func (s *Subscription) CaughtUp(ctx context.Context) error {
	reached := s.loop.in.tail.reached
	select {
	case <-reached:
	case <-s.loop.ended:
		if !isClosed(reached) {
			return s.loop.result
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		changed, stop := s.window.Watch()
		if s.isCaughtUp() {
			stop()
			return nil
		}
		select {
		case <-changed:
			stop()
		case <-s.ctx.Done():
			stop()
			return context.Cause(s.ctx)
		case <-ctx.Done():
			stop()
			return context.Cause(ctx)
		}
	}
}

// isCaughtUp reports whether the initial state is complete and every event of it is settled.
func (s *Subscription) isCaughtUp() bool {
	return s.loop.in.tail.isReached() && s.window.IsMarkSettled()
}
