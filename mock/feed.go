package mock

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// A Feed plays a script to whoever connects: as a transport.Transport of its own,
// without a wire, or over HTTP and WebSockets through the handlers that it returns,
// also all at once. The zero Feed has an empty script. All its methods may be called from
// any goroutine. It starts none.
//
// The script is the server's time line, one for all connections. It moves on only while
// a connection is there to see it: each step happens when a reader has come so far, on
// every connection that is open then. After a connection has ended, the next one goes on
// with the following step. When the script is used up, connections stay open and silent
// until Publish extends it.
//
// The feed keeps a log of the events that it has played. An attempt with a token first
// gets the events after the one whose id the token is, and then goes on with the script;
// an attempt without a token goes on from now. A token that is not in the log is
// answered with status 410. Where an id was used more than once, its first use counts:
// events may come again, but none is lost.
type Feed struct {
	// Token finds the token in a request. Default: the header Last-Event-ID, without
	// one the query parameter "since".
	Token func(*http.Request) string

	// Retention is how many of the last events can be had again. An attempt whose token is
	// further back is answered like one whose token was never given out. Default: all.
	Retention int

	// MaxConns is how many connections may be open at one time. Default: no limit.
	MaxConns int

	// TooMany is how an attempt beyond MaxConns is turned away: a Status, such as 409, or
	// Refuse. Default, also for any other step: Status 429.
	TooMany Step

	// Authorize tells whether the credentials of a request are good. If not it is answered
	// 401. It is called at every attempt, from any goroutine; without a wire, where there
	// is no request, it is not. Default: they are.
	Authorize func(*http.Request) bool

	mu       sync.Mutex
	script   []Step         // what is still to be played
	tape     []Step         // what was, pauses and refusals aside
	places   map[string]int // where on the tape a token resumes
	resting  time.Time      // a Pause: the script goes on then
	down     time.Time      // attempts are refused until then
	complete bool
	attempts []Attempt
	conns    int // that are open
	peak     int // the most that ever were
	changed  signal

	// Of a Trial, nil elsewhere. Note is called with the mutex held, meet without.
	note func(format string, args ...any)
	meet func()
}

// An Attempt is one try to connect, and what became of it.
type Attempt struct {
	Token  string      // from which to resume; empty: none
	Header http.Header // of the request; nil without a wire
	At     time.Time   // when it was made
	Ended  time.Time   // when it was refused or its connection was over; zero while that is open
	Err    error       // how the feed ended it; nil when the consumer did
}

// NewFeed returns a feed that plays steps.
func NewFeed(steps ...Step) *Feed {
	return &Feed{script: slices.Clone(steps)}
}

// Publish adds steps at the end of the script.
func (f *Feed) Publish(steps ...Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = append(f.script, steps...)
	f.changed.fire()
}

// Log returns the events that were played so far, in order, whether or not somebody
// received them.
func (f *Feed) Log() []decode.Frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	var log []decode.Frame
	for _, s := range f.tape {
		if s.isEvent() {
			s.frame.Data = bytes.Clone(s.frame.Data)
			log = append(log, s.frame)
		}
	}
	return log
}

// Attempts returns all attempts so far, in the order in which they were made.
func (f *Feed) Attempts() []Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.attempts)
}

// Peak returns the most connections that were open at one time so far.
func (f *Feed) Peak() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peak
}

// Await returns the n-th attempt, counted from 1, as soon as it is made. The error is the
// cause of ctx.
func (f *Feed) Await(ctx context.Context, n int) (Attempt, error) {
	n = max(n, 1)
	for {
		f.mu.Lock()
		if len(f.attempts) >= n {
			defer f.mu.Unlock()
			return f.attempts[n-1], nil
		}
		wake := f.changed.wait()
		f.mu.Unlock()
		if ctx.Err() != nil {
			return Attempt{}, context.Cause(ctx)
		}
		pause(ctx, wake, time.Time{})
	}
}

// Played returns nil once the script is used up, a Pause at its end included. The error
// is the cause of ctx.
func (f *Feed) Played(ctx context.Context) error {
	for {
		f.mu.Lock()
		used := f.complete || len(f.script) == 0
		until := f.resting
		wake := f.changed.wait()
		f.mu.Unlock()
		if used && !time.Now().Before(until) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !used {
			until = time.Time{}
		}
		pause(ctx, wake, until)
	}
}

// play moves the next step of the script to the tape. It reports false if there is none
// or its time has not come.
func (f *Feed) play(now time.Time) bool {
	for len(f.script) > 0 && !f.complete && !now.Before(f.resting) {
		s := f.script[0]
		if s.turnsAway() {
			// It stays in the script for the attempt that the break brings about.
			f.record(Drop())
			return true
		}
		f.script = f.script[1:]
		if s.act == pauses {
			f.resting = now.Add(s.rest)
			f.changed.fire()
			f.tell("feed: silence for %v", s.rest)
			continue
		}
		f.record(s)
		return true
	}
	return false
}

// pass plays the next n events at once, with the silences before them, for those who
// come later.
func (f *Feed) pass(n int) {
	for n > 0 && len(f.script) > 0 && (f.script[0].isEvent() || f.script[0].act == pauses) {
		s := f.script[0]
		f.script = f.script[1:]
		if s.isEvent() {
			f.record(s)
			n--
		}
	}
}

// record puts a step on the tape, for every open connection to come upon.
func (f *Feed) record(s Step) {
	f.tape = append(f.tape, s)
	f.complete = f.complete || s.act == completes
	f.tell("feed: %s", s.text())
	f.mark(s.frame.ID)
	f.changed.fire()
}

func (f *Feed) tell(format string, args ...any) {
	if f.note != nil {
		f.note(format, args...)
	}
}

// mark lets token resume from the end of the tape, unless it is known already.
func (f *Feed) mark(token string) {
	if _, known := f.places[token]; known || token == "" {
		return
	}
	if f.places == nil {
		f.places = make(map[string]int)
	}
	f.places[token] = len(f.tape)
}
