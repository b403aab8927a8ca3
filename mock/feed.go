package mock

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock/internal/bridge"
	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A Feed plays a script to its consumers: as a transport.Transport, without a wire, or over
// HTTP and WebSockets through the handlers that it returns, also all at once. The zero Feed has
// an empty script. All its methods may be called from any goroutine.
//
// The script is the server's time line, shared by all connections. It advances only while a
// connection is open: a step is played when a reader reaches it, and then happens on every
// connection that is open. After a connection has ended, the next one continues with the
// following step. When the script is used up, connections stay open and silent until Publish
// extends it.
//
// The feed keeps a log of the events that it has played. An attempt with a token first receives
// the events after the one with that id, and then continues with the script. An attempt without
// a token continues from now. A token that is not in the log is answered with status 410. If an
// id was used more than once, its first use counts: events may be repeated, but none is lost.
type Feed struct {
	// Token returns the resume token of a request. Default: the Last-Event-ID header, or
	// without one the query parameter "since".
	Token func(*http.Request) string

	// Retention is the number of latest events from which a consumer can resume. An older token
	// is answered like an unknown one. Default: all.
	Retention int

	// MaxConns is the maximum number of open connections. Default: no limit.
	MaxConns int

	// TooMany answers an attempt beyond MaxConns: a Status, such as 409, or Refuse. Any other
	// step means the default. Default: Status 429.
	TooMany Step

	// Authorize reports whether the credentials of a request are valid. If not, the request is
	// answered with status 401. It is called for every attempt over a wire, from any goroutine,
	// and twice by WebSocket with an opening. Default: all are valid.
	Authorize func(*http.Request) bool

	mu          sync.Mutex
	script      []Step         // still to be played
	tape        []Step         // already played, without pauses and refusals
	places      map[string]int // index on the tape from which a token resumes
	pausedUntil time.Time      // end of a Pause
	outageUntil time.Time      // end of an outage
	complete    bool
	attempts    []Attempt
	conns       int // open now
	changed     wait.Signal

	hooks bridge.Hooks // Log is called with the mutex held, Attempt without
}

// An Attempt is one attempt to connect, and its outcome.
type Attempt struct {
	Token  string      // to resume from; empty: none
	Header http.Header // of the request; nil without a wire
	At     time.Time   // when it was made
	Ended  time.Time   // when it was refused or its connection ended; zero while that is open
	Err    error       // why the feed ended it; nil when the consumer did
}

// NewFeed returns a feed that plays steps.
func NewFeed(steps ...Step) *Feed {
	return &Feed{script: slices.Clone(steps)}
}

// Publish appends steps to the script.
func (f *Feed) Publish(steps ...Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = append(f.script, steps...)
	f.changed.Fire()
}

// Log returns the events played so far, in order, whether or not a consumer received them.
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

// Attempts returns all attempts so far, oldest first.
func (f *Feed) Attempts() []Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.attempts)
}

// playNext moves the next step of the script to the tape. It reports false if there is none or its
// time has not come.
func (f *Feed) playNext(now time.Time) bool {
	for len(f.script) > 0 && !f.complete && !now.Before(f.pausedUntil) {
		s := f.script[0]
		if s.refusesAttempt() {
			// Open connections break. The step stays in the script for the next attempt.
			f.record(Drop())
			return true
		}
		f.script = f.script[1:]
		if s.act == pauses {
			f.pausedUntil = now.Add(s.rest)
			f.changed.Fire()
			f.logf("feed: silence for %v", s.rest)
			continue
		}
		f.record(s)
		return true
	}
	return false
}

// playEvents plays the next n events at once, with the pauses before them, for connections that are
// opened later. It stops at any other step.
func (f *Feed) playEvents(n int) {
	for n > 0 && len(f.script) > 0 && (f.script[0].isEvent() || f.script[0].act == pauses) {
		s := f.script[0]
		f.script = f.script[1:]
		if s.isEvent() {
			f.record(s)
			n--
		}
	}
}

// record puts a step on the tape, for every open connection.
func (f *Feed) record(s Step) {
	f.tape = append(f.tape, s)
	f.complete = f.complete || s.act == completes
	f.logf("feed: %s", s.describe())
	f.markToken(s.token())
	f.changed.Fire()
}

func (f *Feed) logf(format string, args ...any) {
	if f.hooks.Log != nil {
		f.hooks.Log(format, args...)
	}
}

// markToken makes token resume from the end of the tape, unless it is already known.
func (f *Feed) markToken(token string) {
	if _, known := f.places[token]; known || token == "" {
		return
	}
	if f.places == nil {
		f.places = make(map[string]int)
	}
	f.places[token] = len(f.tape)
}
