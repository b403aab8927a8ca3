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

// open starts the session of an attempt, or returns the step that refuses it.
func (f *Feed) open(token string, r *http.Request) (*session, *Step) {
	allowed := f.allows(r)
	if f.hooks.Attempt != nil {
		f.hooks.Attempt()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.newSession(token, r)
	refusal := f.refusal(allowed, token)
	if refusal == nil {
		refusal = f.admit(s, token)
	}
	if refusal != nil {
		s.end(refusal.openError(token))
		return nil, refusal
	}
	s.open = true
	f.conns++
	return s, nil
}

// newSession records an attempt.
func (f *Feed) newSession(token string, r *http.Request) *session {
	a := Attempt{Token: token, At: time.Now()}
	if r != nil {
		a.Header = r.Header.Clone()
	}
	f.attempts = append(f.attempts, a)
	f.logf("attempt %d, token %q", len(f.attempts), token)
	return &session{feed: f, n: len(f.attempts) - 1}
}

func (f *Feed) allows(r *http.Request) bool { return r == nil || f.Authorize == nil || f.Authorize(r) }

// refuseEarly refuses an attempt before its token is known, if there is a reason. It returns the
// step that does so.
func (f *Feed) refuseEarly(r *http.Request) *Step {
	allowed := f.allows(r)
	f.mu.Lock()
	refusal := f.refusal(allowed, "")
	if refusal != nil {
		f.newSession("", r).end(refusal.openError(""))
	}
	f.mu.Unlock()
	if refusal != nil && f.hooks.Attempt != nil {
		f.hooks.Attempt()
	}
	return refusal
}

// refusal returns the step that refuses an attempt whatever its token is, nil if there is none.
// If the step is in the script, it is removed.
func (f *Feed) refusal(allowed bool, token string) *Step {
	now := time.Now()
	var refusal Step
	switch {
	case now.Before(f.outageUntil):
		refusal = Refuse()
	case len(f.script) > 0 && !f.complete && !now.Before(f.pausedUntil) && f.script[0].refusesAttempt():
		next := f.script[0]
		f.script = f.script[1:]
		f.changed.Fire()
		if next.extra.Resuming && token == "" {
			return f.refusal(allowed, token)
		}
		if token != "" {
			f.playEvents(next.extra.Away)
		}
		f.outageUntil = now.Add(next.extra.Outage)
		refusal = next
	case !allowed:
		refusal = Status(http.StatusUnauthorized, http.Header{"WWW-Authenticate": {"Bearer"}})
	case f.MaxConns > 0 && f.conns >= f.MaxConns && f.TooMany.refusesAttempt():
		refusal = f.TooMany
	case f.MaxConns > 0 && f.conns >= f.MaxConns:
		refusal = Status(http.StatusTooManyRequests)
	default:
		return nil
	}
	return &refusal
}

// admit places the session on the tape, or returns the step that refuses it.
func (f *Feed) admit(s *session, token string) *Step {
	if len(f.script) > 0 && !f.complete && !time.Now().Before(f.pausedUntil) && f.script[0].act == completes {
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
	s.skipUnrepeated()
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

// openError returns the error with which the step ends an attempt or a connection.
func (s Step) openError(token string) error {
	switch {
	case s.act == refuses:
		return &net.OpError{Op: "dial", Net: "tcp", Addr: address(origin), Err: errRefused()}
	case s.act == completes, s.act == answers && s.code == http.StatusNoContent:
		return transport.ErrComplete
	case s.act == answers && s.code >= http.StatusBadRequest:
		return &transport.StatusError{
			Code: s.code, Header: s.header.Clone(), Origin: origin, Resuming: token != "",
		}
	case s.act == answers:
		return &transport.ProtocolError{
			Reason: "status is not a feed: " + http.StatusText(s.code), Origin: origin, Header: s.header.Clone(),
		}
	}
	return s.readError()
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
		step, ok := s.advance(now)
		if ok {
			more = s.ready(now)
			f.mu.Unlock()
			return step, more, nil
		}
		wake, until := f.changed.Fired(), f.pausedUntil
		f.mu.Unlock()
		if !now.Before(until) {
			until = time.Time{}
		}
		wait.Until(ctx, until, wake)
	}
}

// advance moves one step along the tape, and plays the script if it is at the end.
func (s *session) advance(now time.Time) (Step, bool) {
	f := s.feed
	s.skipUnrepeated()
	if s.pos == len(f.tape) {
		if f.complete {
			return Complete(), true
		}
		if !f.playNext(now) {
			return Step{}, false
		}
	}
	s.pos++
	step := f.tape[s.pos-1]
	if s.pos <= s.joined {
		step.part, step.slow = false, 0 // that was on another connection
	}
	if s.placed = s.placed || step.token() != ""; s.placed {
		f.playEvents(step.extra.Away)
		f.tape[s.pos-1].extra.Away = 0
	}
	return step, true
}

// ready reports whether the next step is ready and brings a frame.
func (s *session) ready(now time.Time) bool {
	f := s.feed
	s.skipUnrepeated()
	if s.pos < len(f.tape) {
		return s.pos < s.joined || f.tape[s.pos].isImmediate()
	}
	return !f.complete && len(f.script) > 0 && f.script[0].isImmediate() && !now.Before(f.pausedUntil)
}

// skipUnrepeated moves over steps that are not repeated.
func (s *session) skipUnrepeated() {
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
		s.feed.logf("attempt %d ended: %v", s.n+1, err)
	}
}

// finish is end for callers that do not hold the feed's mutex.
func (s *session) finish(err error) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.end(err)
}
