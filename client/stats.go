package client

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
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
)

var stateNames = [...]string{"connecting", "live", "full", "backing off", "ended", "backfilling", "paused"}

// String returns "connecting", "live", "full", "backing off", "ended", "backfilling" or "paused".
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

// Stats is a snapshot of a subscription. Counts start at Subscribe.
type Stats struct {
	State       State
	Attempts    uint64 // attempts to connect
	Connections uint64 // attempts that succeeded

	Received   uint64 // events read, including those skipped or dropped
	Skipped    uint64 // events skipped by Options.Skip
	Duplicates uint64 // events dropped because they were received before
	Acked      uint64 // events acknowledged, or refused and returned to their sender
	Nacked     uint64 // refusals of events by Nack
	// DeadLettered is the number of events that Options.DeadLetter has accepted.
	DeadLettered uint64
	Gaps         uint64 // possible losses, also those that Options.Backfill has repaired
	CaughtUp     bool   // the initial state of the feed has been handled; see Subscription.CaughtUp

	Buffered      int       // events in the buffer: not acknowledged, or after one that is not
	BufferedBytes int       // size of their Data
	Oldest        time.Time // Event.Received of the oldest of them; zero if there is none
	OldestID      string    // its Event.ID
	OldestAttempt int       // its Event.Attempt; 0: not delivered yet

	Suspect bool // the oldest event may have ended the process before; see Trace.Suspected

	Checkpointed          uint64 // acknowledged events that the stored position covers
	Saves                 uint64 // saves that succeeded
	SaveErrors            uint64 // saves that failed
	ConsecutiveSaveErrors int    // saves that failed since the last one that succeeded
	CheckpointError       error  // of the last save; nil if it succeeded
}

// Stats returns a snapshot of the subscription. It may be called at any time, also after Close.
func (s *Subscription) Stats() Stats {
	covered, failures, err := s.checkpoint.state()
	b := s.window.Backlog()
	acked, _ := s.window.Settled()
	return Stats{
		State:                 s.state(),
		Attempts:              s.report.stats.attempts.Load(),
		Connections:           s.report.stats.connections.Load(),
		Received:              s.report.stats.received.Load(),
		Skipped:               s.report.stats.skipped.Load(),
		Duplicates:            s.report.stats.duplicates.Load(),
		Acked:                 acked,
		Nacked:                s.report.stats.nacked.Load(),
		DeadLettered:          s.report.stats.deadLettered.Load(),
		Gaps:                  s.report.stats.gaps.Load(),
		CaughtUp:              s.isCaughtUp(),
		Buffered:              b.Events,
		BufferedBytes:         b.Bytes,
		Oldest:                b.Oldest.Received,
		OldestID:              b.Oldest.ID,
		OldestAttempt:         attemptOf(&b),
		Suspect:               s.suspects.isActive() && b.Events > 0,
		Checkpointed:          covered,
		Saves:                 s.report.stats.saves.Load(),
		SaveErrors:            s.report.stats.saveErrors.Load(),
		ConsecutiveSaveErrors: failures,
		CheckpointError:       err,
	}
}

// state returns what the subscription is doing. A buffer that is full while a connection is open
// is not stored: a Receiver reports it from another goroutine, perhaps before Listen has returned.
func (s *Subscription) state() State {
	state := State(s.report.stats.state.Load())
	switch v := &s.loop.in.valve; {
	case state == StateEnded || v.isShut():
		return StateEnded
	case v.isPaused():
		return StatePaused
	}
	if (state == StateLive || state == StateBackfilling) && s.window.IsFull() {
		return StateFull
	}
	return state
}

// attemptOf returns the Event.Attempt of the oldest event, or 0 if it was not delivered.
func attemptOf(b *window.Backlog) int {
	if b.Attempt == 0 {
		return 0
	}
	return b.Oldest.Before + b.Attempt
}

// counters are the parts of Stats that neither the window nor the checkpoint keeps.
type counters struct {
	state                               atomic.Int32
	attempts, connections               atomic.Uint64
	received, skipped, duplicates, gaps atomic.Uint64
	nacked, deadLettered                atomic.Uint64
	saves, saveErrors                   atomic.Uint64
}

func (c *counters) set(s State) { c.state.Store(int32(s)) }

func (c *counters) swap(s State) State { return State(c.state.Swap(int32(s))) }
