package client

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// State says what a subscription is doing.
type State int32

const (
	StateConnecting State = iota // waiting for the transport to open
	StateLive                    // reading
	StateFull                    // connected, and not reading because the buffer is full
	StateBackingOff              // waiting before the next attempt
	StateEnded                   // over; see the end of Events
)

var stateNames = [...]string{"connecting", "live", "full", "backing off", "ended"}

// String returns "connecting", "live", "full", "backing off" or "ended".
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int32(s))
	}
	return stateNames[s]
}

// MarshalText returns the String of a state, so that Stats in JSON shows it.
func (s State) MarshalText() ([]byte, error) {
	if s < 0 || int(s) >= len(stateNames) {
		return nil, fmt.Errorf("client: no such state: %d", int32(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText is the reverse of MarshalText.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(stateNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("client: no such state: %.40q", text)
	}
	*s = State(i)
	return nil
}

// Stats is a snapshot of a subscription. Counts are since Subscribe.
type Stats struct {
	State       State
	Attempts    uint64 // to connect
	Connections uint64 // that were opened

	Received   uint64 // events read, whatever became of them
	Skipped    uint64 // of them by Options.Skip
	Duplicates uint64 // of them dropped by Options.Dedupe
	Acked      uint64
	Nacked     uint64
	Gaps       uint64 // losses discovered

	Buffered      int       // events in the buffer: not acknowledged, or behind one that is not
	BufferedBytes int       // of their Data
	Oldest        time.Time // when the oldest of them was received; zero without one
	OldestID      string    // its Event.ID
	OldestAttempt int       // its Event.Attempt; 0: not handed out yet

	Checkpointed    uint64 // acknowledged events that the stored position covers
	Saves           uint64 // that succeeded
	SaveErrors      uint64 // saves that failed
	SaveFailures    int    // of them since the last one that succeeded
	CheckpointError error  // of the last save, nil if it succeeded
}

// Stats returns what the subscription has done so far.
func (s *Subscription) Stats() Stats {
	covered, failures, err := s.checkpoint.state()
	b := s.window.backlog()
	return Stats{
		State:           State(s.stats.state.Load()),
		Attempts:        s.stats.attempts.Load(),
		Connections:     s.stats.connections.Load(),
		Received:        s.stats.received.Load(),
		Skipped:         s.stats.skipped.Load(),
		Duplicates:      s.stats.duplicates.Load(),
		Acked:           b.acked,
		Nacked:          s.stats.nacked.Load(),
		Gaps:            s.stats.gaps.Load(),
		Buffered:        b.events,
		BufferedBytes:   b.bytes,
		Oldest:          b.oldest.Received,
		OldestID:        b.oldest.ID,
		OldestAttempt:   b.oldest.Attempt,
		Checkpointed:    covered,
		Saves:           s.stats.saves.Load(),
		SaveErrors:      s.stats.saveErrors.Load(),
		SaveFailures:    failures,
		CheckpointError: err,
	}
}

// counters are what Stats is made of, as far as the window does not know it.
type counters struct {
	state                               atomic.Int32
	attempts, connections               atomic.Uint64
	received, skipped, duplicates, gaps atomic.Uint64
	nacked                              atomic.Uint64
	saves, saveErrors                   atomic.Uint64
}

func (c *counters) set(s State) { c.state.Store(int32(s)) }
