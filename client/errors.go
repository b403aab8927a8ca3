package client

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrFenced ends a subscription whose checkpoint a newer Subscribe has taken over, or SetCheckpoint
// has set, or whose [Options.Lease] could not be renewed. The next owner resumes after the position
// saved last, or set; this one can no longer move it. With a Lease, call Subscribe again: it waits for
// its turn. Without one, never let two replicas restart on ErrFenced: they would take the checkpoint
// from each other again and again, and most events would be handled twice. Then run one subscription of
// an [Options.Name] at a time, or give each its own name.
var ErrFenced = errors.New("client: the checkpoint belongs to a newer subscription, or was set")

// ErrClosed is returned by Next, Ack, Nack and Commit after Close.
var ErrClosed = errors.New("client: the subscription is closed")

// ErrAcceptGap is returned by Options.Backfill for a gap that it does not repair.
var ErrAcceptGap = errors.New("client: the gap is accepted")

// ErrConflict is returned by the Save of a [Store] if prev is not the version of the stored record.
// A [ConflictError] of another package counts as this one.
var ErrConflict error = conflict{}

// A ConflictError is an error of a [Store] that may count as ErrConflict, so that the Store need not
// import this package.
type ConflictError interface {
	error
	// Conflict reports whether the error counts as ErrConflict.
	Conflict() bool
}

type conflict struct{}

func (conflict) Error() string  { return "client: the stored record has another version" }
func (conflict) Conflict() bool { return true }

func isConflict(err error) bool {
	var c ConflictError
	return errors.As(err, &c) && c.Conflict()
}

// A StopError ends a subscription whose retry policy gives up. If a feed is complete and no event
// follows to carry a [Gap], the Cause is that *Gap.
type StopError struct {
	Attempts int           // failures in a row without progress; 0 if a connection with progress ended
	Elapsed  time.Duration // since the last progress, or since Subscribe
	Cause    error         // the last failure
}

func (e *StopError) Error() string {
	if e.Attempts <= 1 {
		return fmt.Sprintf("client: stopped: %v", e.Cause)
	}
	return fmt.Sprintf("client: stopped after %d attempts in %v: %v", e.Attempts, e.Elapsed.Round(time.Millisecond), e.Cause)
}

func (e *StopError) Unwrap() error { return e.Cause }

// A ConfigError lists everything that is wrong with the arguments of a call.
type ConfigError struct {
	Problems []error // each names its field

	call string // the function, "" for Subscribe
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("client: " + cmp.Or(e.call, "Subscribe") + ": ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

func (e *ConfigError) Unwrap() []error { return e.Problems }

// A CheckpointError reports that the stored position could not be read, saved or trusted. The
// subscription never continues from "now" instead.
type CheckpointError struct {
	Name string // Options.Name
	Op   string // "load", "read" (the record is damaged), "take over", "save" or "set"
	Err  error
}

func (e *CheckpointError) Error() string {
	return fmt.Sprintf("client: checkpoint %q: %s: %v", e.Name, e.Op, e.Err)
}

func (e *CheckpointError) Unwrap() error { return e.Err }
