package client

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrFenced ends a subscription whose checkpoint a newer Subscribe has taken over.
// The newer one resumes from what was saved last; this one can no longer move it.
// Never let two replicas restart on it: they would take the checkpoint from each other
// again and again, and most events would be handled twice. Run one subscription of a
// [Options.Name] at a time, or give each a name of its own.
var ErrFenced = errors.New("client: the checkpoint belongs to a newer subscription")

// ErrClosed is what Next, Ack, Nack and Commit return after Close.
var ErrClosed = errors.New("client: the subscription is closed")

// ErrConflict is what a [Store] returns from Save when prev is not the version of the
// stored record. An error of another package counts as this one when it has a method
// Conflict() bool that returns true.
var ErrConflict error = conflict{}

type conflict struct{}

func (conflict) Error() string  { return "client: the stored record has another version" }
func (conflict) Conflict() bool { return true }

func isConflict(err error) bool {
	var c interface{ Conflict() bool }
	return errors.As(err, &c) && c.Conflict()
}

// A StopError ends a subscription that cannot go on: its retry policy gives up. When a
// feed is complete and no event is left to carry a [Gap], the Cause is that *Gap.
type StopError struct {
	Attempts int           // attempts to connect in a row that failed; 0 if a connection that had worked ended so
	Elapsed  time.Duration // since the first of them
	Cause    error         // the last failure
}

func (e *StopError) Error() string {
	if e.Attempts <= 1 {
		return fmt.Sprintf("client: stopped: %v", e.Cause)
	}
	return fmt.Sprintf("client: stopped after %d attempts in %v: %v", e.Attempts, e.Elapsed.Round(time.Millisecond), e.Cause)
}

func (e *StopError) Unwrap() error { return e.Cause }

// A ConfigError lists everything that is wrong with the arguments of Subscribe.
type ConfigError struct {
	Problems []error // each names its field
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("client: Subscribe: ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

func (e *ConfigError) Unwrap() []error { return e.Problems }

// A CheckpointError says that the stored position could not be read, saved or trusted.
// Nothing is ever resumed from "now" because of it.
type CheckpointError struct {
	Name string // Options.Name
	Op   string // "load", "read", "take over" or "save"
	Err  error
}

func (e *CheckpointError) Error() string {
	return fmt.Sprintf("client: checkpoint %q: %s: %v", e.Name, e.Op, e.Err)
}

func (e *CheckpointError) Unwrap() error { return e.Err }
