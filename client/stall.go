package client

import (
	"time"
)

// stallAfter is how long the buffer must be full without an event being settled before that is
// reported. The interval doubles with each report.
const stallAfter = 30 * time.Second

// A stall watches a full buffer. It belongs to the one goroutine that waits for space.
type stall struct {
	since time.Time // no event has been settled since; zero while there is space
	pace  growing
	timer *time.Timer // nil unless it waits
	told  time.Time   // since, as last reported; zero if it was not
	loop  *loop
}

// watchStall starts to watch the full buffer, or continues after the connection was parked.
func (l *loop) watchStall() *stall {
	s := &l.stall
	s.loop = l
	if now := time.Now(); s.since.IsZero() {
		s.begin(now)
	}
	s.timer = time.NewTimer(max(time.Until(s.pace.due), 1)) // after parking, it may be due already
	return s
}

// settled starts again, because an event was settled.
func (s *stall) settled() {
	s.recovered()
	s.begin(time.Now())
	s.timer.Reset(stallAfter)
}

func (s *stall) begin(now time.Time) {
	s.since = now
	s.pace.start(now, stallAfter)
	s.loop.report.stats.full.Store(now.UnixNano())
}

// recovered reports the end of a stall that was reported.
func (s *stall) recovered() {
	if s.told.IsZero() {
		return
	}
	r := s.loop.report
	r.log.Info("events are settled again", "full", time.Since(s.told))
	r.overlay(r.now.base(), "events are settled again")
	s.told = time.Time{}
}

// stop ends the wait. over reports whether the stall has ended; it continues if the connection was
// parked.
func (s *stall) stop(over bool) {
	s.timer.Stop()
	if over {
		s.since, s.told = time.Time{}, time.Time{}
	}
}

// reportStall reports that the consumer has not settled an event for a long time.
func (l *loop) reportStall() {
	s, now := &l.stall, time.Now()
	if l.in.valve.isPaused() {
		s.begin(now)
		s.timer.Reset(stallAfter)
		return
	}
	s.pace.next(now)
	s.timer.Reset(time.Until(s.pace.due))
	b := l.window.Backlog()
	if b.Events == 0 {
		return // settled just now
	}
	oldest, attempt, full := &b.Oldest, attemptOf(&b), now.Sub(s.since)
	args := []any{"full", full, "buffered", b.Events, "attempt", attempt, "age", now.Sub(oldest.Received)}
	if isPublicID(oldest.ID, oldest.Token) {
		args = append(args, "id", oldest.ID)
	}
	if s.told.IsZero() {
		l.report.overlay(StateFull, "no event settled")
	}
	s.told = s.since
	l.report.log.Warn("buffer full, no event settled", args...)
	if f := l.report.trace.Stalled; f != nil {
		f(Stall{Full: full, Buffered: b.Events, ID: oldest.ID, Attempt: attempt, Received: oldest.Received})
	}
}
