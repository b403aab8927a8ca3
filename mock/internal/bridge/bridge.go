// Package bridge lets the packages below mock use what mock does not export. Package mock sets
// the variables when it is initialized. Their arguments are mock's types, which this package
// cannot import.
package bridge

import (
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

var (
	// StepOf describes a mock.Step.
	StepOf func(step any) Step

	// ExtraOf returns the Extra of a *mock.Step.
	ExtraOf func(step any) *Extra

	// HooksOf returns the Hooks of a *mock.Feed, a *mock.Store or a *mock.Observed. They must
	// be set before it is in use.
	HooksOf func(owner any) *Hooks

	// FeedOf returns the Feed of a *mock.Feed.
	FeedOf func(feed any) Feed

	// StoreOf returns the Store of a *mock.Store.
	StoreOf func(store any) Store
)

// A Step describes a mock.Step.
type Step struct {
	Kind   string       // what it does: "event", "pause"
	Breaks bool         // no consumer is connected after it
	Event  bool         // it sends an event:
	Frame  decode.Frame // this one,
	Label  string       // which reports show so
	Pause  time.Duration
	Raw    []byte // malformed bytes; nil for any other step
}

// An Extra is what only a recording or an exploration adds to a step.
type Extra struct {
	Gap      *transport.Gap // before the frame, for a consumer without a wire
	Token    *string        // position after the frame; nil: its id
	Outage   time.Duration  // during which Refuse fails every attempt
	Away     int            // number of events that are played while no consumer is connected
	Resuming bool           // an attempt without a token is not refused
	Again    bool           // the event is a repetition, which later connections do not get
}

// Hooks observe a feed, a store or what a consumer has received.
type Hooks struct {
	Log     func(format string, args ...any) // called for each thing that happens; nil: not called
	Attempt func()                           // called before each attempt to connect; nil: not called
}

// A Feed changes the script of a mock.Feed.
type Feed interface {
	Left() int  // number of events that the script still has
	Pass(n int) // plays n events for connections that are opened later
}

// A Store changes the faults of a mock.Store.
type Store interface {
	PassLoads(n int)   // adds n Loads without a fault
	PassSaves(n int)   // adds n Saves without a fault
	Precede(fault any) // adds a *mock.Fault that calls meet before all others
	Used() bool        // there was ever a record with data
}
