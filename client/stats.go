package client

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
	"github.com/steadfeed/steadfeed/retry"
)

// A State is what a subscription is doing.
type State int32

const (
	StateConnecting  State = iota // waiting for the transport to open
	StateLive                     // reading
	StateFull                     // not reading because the buffer is full
	StateBackingOff               // waiting before the next attempt
	StateEnded                    // nothing more is received; after the buffer, Events and Next report the reason
	StateBackfilling              // Options.Backfill runs, or waits before its next attempt
	StatePaused                   // Pause was called; the other states show again after Resume
	StateStandby                  // waiting until the lease of the checkpoint's owner is over; see Options.Lease
)

var stateNames = [...]string{"connecting", "live", "full", "backing off", "ended", "backfilling", "paused", "standby"}

// String returns "connecting", "live", "full", "backing off", "ended", "backfilling", "paused" or "standby".
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int32(s))
	}
	return stateNames[s]
}

// MarshalText returns the String of a state, so that JSON shows its name. It returns an error if
// the state is none of the constants.
func (s State) MarshalText() ([]byte, error) {
	if s < 0 || int(s) >= len(stateNames) {
		return nil, fmt.Errorf("client: no such state: %d", int32(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText sets s to the state whose String is text, or returns an error if there is none.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(stateNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("client: no such state: %.40q", text)
	}
	*s = State(i)
	return nil
}

// Stats is a snapshot of a subscription. Counts start at Subscribe, and none of them decreases.
type Stats struct {
	State State
	// Since is when State began. For StateFull it is when an event was last settled, if that is later.
	Since       time.Time
	NextAttempt time.Time // of StateBackingOff, or of a backfill that has failed; zero if none is planned
	Closed      bool      // Close has returned: nothing changes any more

	// Err is why there is no connection, why Backfill is called again, or why the subscription has
	// ended. It is nil while a connection is read, and after an end without an error.
	Err error
	// Outage is when the failures began since which the feed has not worked: no connection has
	// delivered an event or was open for a minute. It is zero if the feed works.
	Outage         time.Time
	OutageFailures int // failed attempts and lost connections since then

	LastErr      error // the last failure, also if it is over
	LastErrClass retry.Class
	LastErrTime  time.Time

	Attempts    uint64    // attempts to connect
	Connections uint64    // attempts that succeeded
	Connected   time.Time // when the last of these was opened
	// Disconnects are the failed attempts and lost connections by class, without those that the
	// subscription itself has ended. It is nil if there are none, and belongs to the caller.
	Disconnects map[retry.Class]uint64
	Handovers   uint64 // connections that were replaced before their end

	Received      uint64 // events read, including those skipped or dropped
	ReceivedBytes uint64 // size of their Data
	Keepalives    uint64 // comments and keepalives read
	Skipped       uint64 // events skipped by Options.Skip
	Duplicates    uint64 // events dropped because they were received before
	Dropped       uint64 // events dropped or replaced by Options.Overflow
	Acked         uint64 // events acknowledged, or refused and returned to their sender
	Nacked        uint64 // refusals of events by Nack
	// DeadLettered is the number of events that Options.DeadLetter has accepted.
	DeadLettered uint64
	Gaps         uint64    // possible losses, also those that Options.Backfill has repaired
	Repaired     uint64    // possible losses that Options.Backfill has repaired
	Missed       uint64    // events that are known to be missing and were not repaired
	LastGap      time.Time // when the last possible loss was detected; zero if there was none
	CaughtUp     bool      // the initial state of the feed has been handled; see Subscription.CaughtUp

	LastEvent   time.Time // when the last event was received; zero if none was
	LastMessage time.Time // when the last event, keepalive or other message was received
	// Rate is the number of events received per second in the last 10 to 20 s.
	Rate float64
	// Lag is how old one of the last events was when it was received, by Options.EventTime. It is
	// negative if the clocks differ, and 0 if no event has a time.
	Lag time.Duration

	Buffered      int // events in the buffer: not acknowledged, or after one that is not
	BufferedBytes int // size of their Data
	// MaxBuffered and MaxBufferedBytes are the limits of these: Options.Buffer and BufferBytes.
	MaxBuffered, MaxBufferedBytes int

	Oldest        time.Time // Event.Received of the oldest of them; zero if there is none
	OldestID      string    // its Event.ID; empty if that is also the token, which can be a secret
	OldestAttempt int       // its Event.Attempt; 0: not delivered yet
	// OldestSince is since when that event is the oldest, in this attempt, as seen by Stats, Healthy
	// and Options.Monitor. The first of them that sees it sets the time.
	OldestSince time.Time

	Suspect bool // the oldest event may have ended the process before; see Trace.Suspected

	Checkpointed          uint64    // acknowledged events that the stored position covers
	Epoch                 uint64    // of the checkpoint; 0 without a Store and as a standby
	LeaseUntil            time.Time // when the subscription ends unless its lease is renewed; zero without one
	Saves                 uint64    // saves that succeeded
	LastSave              time.Time // when the last of them ended
	SaveErrors            uint64    // saves that failed
	ConsecutiveSaveErrors int       // saves that failed since the last one that succeeded
	CheckpointError       error     // of the last save; nil if it succeeded
}

// Stats returns a snapshot of the subscription. It may be called at any time, also after Close.
func (s *Subscription) Stats() Stats {
	var t Stats
	s.describe(&t)
	return t
}

// describe sets t, which is zero, to a snapshot.
func (s *Subscription) describe(t *Stats) {
	now := time.Now()
	b := s.window.Backlog()
	s.count(t)
	s.report.flow.describe(t, now)
	s.report.now.describe(t, t.LastEvent, now)
	s.overlay(t)
	t.CaughtUp, t.Closed = s.isCaughtUp(), s.over.Load()
	t.MaxBuffered, t.MaxBufferedBytes = s.opts.Buffer, s.opts.BufferBytes
	t.Acked, _ = s.window.Settled()
	t.Buffered, t.BufferedBytes, t.Oldest = b.Events, b.Bytes, b.Oldest.Received
	if isPublicID(b.Oldest.ID, b.Oldest.Token) {
		t.OldestID = b.Oldest.ID
	}
	t.OldestAttempt, t.OldestSince = attemptOf(&b), s.oldest.see(&b, now)
	t.Suspect = s.suspects.Load().isActive() && b.Events > 0
	t.Checkpointed, t.ConsecutiveSaveErrors, t.CheckpointError = s.checkpoint.state()
	t.Epoch, t.LeaseUntil = s.epoch.Load(), s.checkpoint.leaseUntil()
}

// count sets what the counters keep.
func (s *Subscription) count(t *Stats) {
	c := &s.report.stats
	t.Attempts, t.Connections, t.Handovers = c.attempts.Load(), c.connections.Load(), c.handovers.Load()
	t.Skipped, t.Duplicates, t.Dropped = c.skipped.Load(), c.duplicates.Load(), c.dropped.Load()
	t.Nacked, t.DeadLettered = c.nacked.Load(), c.deadLettered.Load()
	t.Gaps, t.Repaired, t.LastGap = c.gaps.Load(), c.repaired.Load(), unixTime(c.lastGap.Load())
	t.Saves, t.SaveErrors, t.LastSave = c.saves.Load(), c.saveErrors.Load(), unixTime(c.lastSave.Load())
}

// overlay makes t show what is above the state of the connection. A buffer that is full while a
// connection is open is not stored: a Receiver reports it from another goroutine, perhaps before
// Listen has returned.
func (s *Subscription) overlay(t *Stats) {
	v := &s.loop.in.valve
	switch {
	case t.State == StateEnded:
		return
	case v.isShut():
		t.State, t.Since = StateEnded, v.lastChange()
		return
	case v.isPaused():
		t.State, t.Since = StatePaused, v.lastChange()
		return
	case (t.State == StateLive || t.State == StateBackfilling) && s.window.IsFull():
		t.State = StateFull
	}
	if full := unixTime(s.report.stats.full.Load()); t.State == StateFull && full.After(t.Since) {
		t.Since = full
	}
}

// attemptOf returns the Event.Attempt of the oldest event, or 0 if it was not delivered.
func attemptOf(b *window.Backlog) int {
	if b.Attempt == 0 {
		return 0
	}
	return b.Oldest.Before + b.Attempt
}

// An oldest is the oldest event of the buffer, as last seen.
type oldest struct {
	mu      sync.Mutex // held for a few instructions
	seq     uint64
	attempt int
	since   time.Time // zero if there is none
}

// see returns since when the event is the oldest one, in this attempt.
func (o *oldest) see(b *window.Backlog, now time.Time) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case b.Events == 0:
		o.since = time.Time{}
	case o.since.IsZero() || o.seq != b.Seq || o.attempt != b.Attempt:
		o.seq, o.attempt, o.since = b.Seq, b.Attempt, now
	}
	return o.since
}

// counters are the parts of Stats that no other type keeps.
type counters struct {
	attempts, connections, handovers    atomic.Uint64
	skipped, duplicates, gaps, repaired atomic.Uint64
	dropped, nacked, deadLettered       atomic.Uint64
	saves, saveErrors                   atomic.Uint64
	lastGap, lastSave, full             atomic.Int64 // UNIX ns; full: since when the buffer is, if it is
}
