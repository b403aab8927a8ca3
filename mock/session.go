package mock

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
	"github.com/steadfeed/steadfeed/transport"
)

// A session is one connection's position on the tape. The feed's mutex guards its fields.
type session struct {
	feed   *Feed
	n      int  // index of its attempt
	pos    int  // on the tape
	joined int  // steps before it on the tape are repeated: events only
	open   bool // it counts among the feed's connections
	placed bool // the consumer has a token to resume from
}

// open judges an attempt: it starts a session or returns the step that refuses it.
func (f *Feed) open(token string, r *http.Request) (*session, *Step) {
	allowed := f.allows(r)
	if f.hooks.Attempt != nil {
		f.hooks.Attempt()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.attempt(token, r)
	away := f.barred(allowed, token)
	if away == nil {
		away = f.admit(s, token)
	}
	if away != nil {
		s.end(away.failure(token))
		return nil, away
	}
	s.open = true
	f.conns++
	f.peak = max(f.peak, f.conns)
	return s, nil
}

// attempt records an attempt.
func (f *Feed) attempt(token string, r *http.Request) *session {
	a := Attempt{Token: token, At: time.Now()}
	if r != nil {
		a.Header = r.Header.Clone()
	}
	f.attempts = append(f.attempts, a)
	f.changed.Fire()
	f.tell("attempt %d, token %q", len(f.attempts), token)
	return &session{feed: f, n: len(f.attempts) - 1}
}

func (f *Feed) allows(r *http.Request) bool { return r == nil || f.Authorize == nil || f.Authorize(r) }

// turnedAway refuses an attempt before its token is known, if there is a reason. It returns the
// step that does so.
func (f *Feed) turnedAway(r *http.Request) *Step {
	allowed := f.allows(r)
	f.mu.Lock()
	away := f.barred(allowed, "")
	if away != nil {
		f.attempt("", r).end(away.failure(""))
	}
	f.mu.Unlock()
	if away != nil && f.hooks.Attempt != nil {
		f.hooks.Attempt()
	}
	return away
}

// barred returns the step that refuses an attempt whatever its token is, nil if there is none.
// If the step is in the script, it is removed.
func (f *Feed) barred(allowed bool, token string) *Step {
	now := time.Now()
	var away Step
	switch {
	case now.Before(f.down):
		away = Refuse()
	case len(f.script) > 0 && !f.complete && !now.Before(f.resting) && f.script[0].turnsAway():
		next := f.script[0]
		f.script = f.script[1:]
		f.changed.Fire()
		if next.extra.Resuming && token == "" {
			return f.barred(allowed, token)
		}
		if token != "" {
			f.pass(next.extra.Away)
		}
		f.down = now.Add(next.extra.Outage)
		away = next
	case !allowed:
		away = Status(http.StatusUnauthorized, http.Header{"WWW-Authenticate": {"Bearer"}})
	case f.MaxConns > 0 && f.conns >= f.MaxConns && f.TooMany.turnsAway():
		away = f.TooMany
	case f.MaxConns > 0 && f.conns >= f.MaxConns:
		away = Status(http.StatusTooManyRequests)
	default:
		return nil
	}
	return &away
}

// admit places the session on the tape, or returns the step that refuses it.
func (f *Feed) admit(s *session, token string) *Step {
	if len(f.script) > 0 && !f.complete && !time.Now().Before(f.resting) && f.script[0].act == completes {
		next := f.script[0]
		f.script = f.script[1:]
		f.record(next)
	}
	s.joined, s.placed = len(f.tape), token != ""
	s.pos = s.joined
	if token != "" {
		place, known := f.places[token]
		if !known || f.Retention > 0 && f.eventsFrom(place) > f.Retention {
			gone := Status(http.StatusGone)
			return &gone
		}
		s.pos = place
	}
	s.skip()
	if f.complete && s.pos == s.joined {
		over := Complete()
		return &over
	}
	return nil
}

// eventsFrom counts the events on the tape after a place, without repetitions.
func (f *Feed) eventsFrom(place int) (n int) {
	for _, s := range f.tape[place:] {
		if s.isEvent() && !s.extra.Again {
			n++
		}
	}
	return n
}

// failure returns the error with which the step ends an attempt or a connection.
func (s Step) failure(token string) error {
	switch {
	case s.act == refuses:
		return &net.OpError{Op: "dial", Net: "tcp", Addr: address(origin), Err: errRefused()}
	case s.act == completes, s.act == answers && s.code == http.StatusNoContent:
		return transport.ErrEnd
	case s.act == answers && s.code >= http.StatusBadRequest:
		return &transport.StatusError{
			Code: s.code, Header: s.header.Clone(), Origin: origin, Resuming: token != "",
		}
	case s.act == answers:
		return &transport.ProtocolError{
			Reason: "status is not a feed: " + http.StatusText(s.code), Origin: origin, Header: s.header.Clone(),
		}
	}
	return s.breakage()
}

// next waits for the next step of the connection and returns it. more reports whether another
// frame is ready.
func (s *session) next(ctx context.Context) (step Step, more bool, err error) {
	f := s.feed
	for {
		if ctx.Err() != nil {
			return Step{}, false, context.Cause(ctx)
		}
		f.mu.Lock()
		now := time.Now()
		step, ok := s.take(now)
		if ok {
			more = s.ready(now)
			f.mu.Unlock()
			return step, more, nil
		}
		wake, until := f.changed.Fired(), f.resting
		f.mu.Unlock()
		if !now.Before(until) {
			until = time.Time{}
		}
		wait.Until(ctx, until, wake)
	}
}

// take moves one step along the tape, and plays the script if it is at the end.
func (s *session) take(now time.Time) (Step, bool) {
	f := s.feed
	s.skip()
	if s.pos == len(f.tape) {
		if f.complete {
			return Complete(), true
		}
		if !f.play(now) {
			return Step{}, false
		}
	}
	s.pos++
	step := f.tape[s.pos-1]
	if s.pos <= s.joined {
		step.part, step.slow = false, 0 // that was on another connection
	}
	if s.placed = s.placed || step.frame.ID != ""; s.placed {
		f.pass(step.extra.Away)
		f.tape[s.pos-1].extra.Away = 0
	}
	return step, true
}

// ready reports whether the next step is ready and brings a frame.
func (s *session) ready(now time.Time) bool {
	f := s.feed
	s.skip()
	if s.pos < len(f.tape) {
		return s.pos < s.joined || f.tape[s.pos].atOnce()
	}
	return !f.complete && len(f.script) > 0 && f.script[0].atOnce() && !now.Before(f.resting)
}

// skip moves over steps that are not repeated.
func (s *session) skip() {
	for s.pos < s.joined && (s.feed.tape[s.pos].extra.Again || !s.feed.tape[s.pos].isEvent()) {
		s.pos++
	}
}

// end records in the attempt that the connection has ended. Only the first call counts.
func (s *session) end(err error) {
	if a := &s.feed.attempts[s.n]; a.Ended.IsZero() {
		a.Ended, a.Err = time.Now(), err
		if s.open {
			s.feed.conns--
		}
		if err == nil {
			err = errClosed
		}
		s.feed.tell("attempt %d ended: %v", s.n+1, err)
		s.feed.changed.Fire()
	}
}

// over is end for callers that do not hold the feed's mutex.
func (s *session) over(err error) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.end(err)
}
