package mock

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A session is one connection's way along the tape. Its fields are guarded by the
// feed's mutex.
type session struct {
	feed   *Feed
	n      int  // of its attempt
	pos    int  // on the tape
	joined int  // what lies before it on the tape is repeated: events only
	placed bool // the consumer has a token to come back with
}

// open judges an attempt: it begins a session or returns the step that turns it away.
func (f *Feed) open(token string, header http.Header) (*session, *Step) {
	if f.meet != nil {
		f.meet()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, Attempt{Token: token, Header: header, At: time.Now()})
	f.changed.fire()
	s := &session{feed: f, n: len(f.attempts) - 1}
	f.tell("attempt %d, token %q", s.n+1, token)
	if away := f.admit(s, token); away != nil {
		s.end(away.failure(token))
		return nil, away
	}
	return s, nil
}

// turnedAway takes the step that turns an attempt away, if it is the next one.
func (f *Feed) turnedAway(header http.Header) *Step {
	f.mu.Lock()
	next := len(f.script) > 0 && f.script[0].turnsAway() && !f.complete && !time.Now().Before(f.resting)
	f.mu.Unlock()
	if !next {
		return nil
	}
	_, away := f.open("", header)
	return away
}

// admit puts the session in its place on the tape, or returns why it has none.
func (f *Feed) admit(s *session, token string) *Step {
	now := time.Now()
	if now.Before(f.down) {
		refused := Refuse()
		return &refused
	}
	if len(f.script) > 0 && !f.complete && !now.Before(f.resting) {
		switch next := f.script[0]; {
		case next.turnsAway():
			f.script = f.script[1:]
			f.changed.fire()
			if next.resuming && token == "" {
				break
			}
			if token != "" {
				f.pass(next.away)
			}
			f.down = now.Add(next.rest)
			return &next
		case next.act == completes:
			f.script = f.script[1:]
			f.record(next)
		}
	}
	s.joined, s.placed = len(f.tape), token != ""
	s.pos = s.joined
	if token != "" {
		place, known := f.places[token]
		if !known {
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

// failure is what the consumer's attempt or connection fails with because of the step.
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
			Reason: "a status that opens no feed: " + http.StatusText(s.code), Origin: origin, Header: s.header.Clone(),
		}
	}
	return s.breakage()
}

// next returns what happens next on the connection, as soon as it happens. More says
// that another frame is there to be had.
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
		wake, until := f.changed.wait(), f.resting
		f.mu.Unlock()
		if !now.Before(until) {
			until = time.Time{}
		}
		pause(ctx, wake, until)
	}
}

// take goes one step along the tape, and plays on when it is at its end.
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
		step.part, step.slow = false, 0 // that was another connection's misfortune
	}
	if s.placed = s.placed || step.frame.ID != ""; s.placed {
		f.pass(step.away)
		f.tape[s.pos-1].away = 0
	}
	return step, true
}

// ready tells whether the next step is there and brings a frame.
func (s *session) ready(now time.Time) bool {
	f := s.feed
	s.skip()
	if s.pos < len(f.tape) {
		return s.pos < s.joined || f.tape[s.pos].atOnce()
	}
	return !f.complete && len(f.script) > 0 && f.script[0].atOnce() && !now.Before(f.resting)
}

// skip passes over what is not repeated.
func (s *session) skip() {
	for s.pos < s.joined && (s.feed.tape[s.pos].again || !s.feed.tape[s.pos].isEvent()) {
		s.pos++
	}
}

// end notes in the attempt that the connection is over. The first reason stands.
func (s *session) end(err error) {
	if a := &s.feed.attempts[s.n]; a.Ended.IsZero() {
		a.Ended, a.Err = time.Now(), err
		if err == nil {
			err = errClosed
		}
		s.feed.tell("attempt %d is over: %v", s.n+1, err)
		s.feed.changed.fire()
	}
}

// over is end for those who do not hold the feed's mutex.
func (s *session) over(err error) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.end(err)
}
