package client

import (
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A Trace is a set of functions that are called back on what happens to a
// subscription. Any of them may be nil. They run inline, on the subscription's goroutine
// or a consumer's, and may run concurrently with each other: they must be quick, and must
// not wait for the subscription (Close, Commit, Next). A Trace must not be changed while
// in use.
type Trace struct {
	// Connecting is called before each attempt to connect, Connected when it has
	// succeeded. Disconnected is called when it has failed or the connection has ended.
	Connecting   func(Attempt)
	Connected    func(Attempt)
	Disconnected func(Disconnect)
	// Signal is called for what the feed says between events: comments and keepalives.
	Signal func(transport.Message)
	// Gap is called when a loss is discovered; the Gap then travels on the next event.
	Gap func(Gap)
	// Nacked is called when a consumer has refused an event.
	Nacked func(e Event, err error)
	// Stalled is called when the buffer has been full for 30 s without an event being
	// settled, and again at intervals that double up to an hour.
	Stalled func(Stall)
	// Saved is called after each attempt to save the checkpoint.
	Saved func(Save)
	// Ended is called once, when the subscription has ended: with nil when the feed is
	// complete, else with what the consumer gets.
	Ended func(err error)
}

// An Attempt is an attempt to connect.
type Attempt struct {
	Number   int           // 1 for the first after progress
	Resuming bool          // whether a token is presented
	Took     time.Duration // to connect; 0 in Connecting
}

// A Disconnect says why there is no connection, and what follows.
type Disconnect struct {
	Err    error         // io.EOF when the server ended the connection in good order
	Opened bool          // false when the attempt to connect failed
	Events int           // new events on this connection
	Uptime time.Duration // of this connection
	Class  retry.Class
	Delay  time.Duration // until the next attempt
	Final  bool          // no further attempt follows
}

// A Save is an attempt to save the checkpoint.
type Save struct {
	Err    error  // nil: durable
	Events uint64 // acknowledged events that the checkpoint covers
	Took   time.Duration
}

// A Stall is a consumer that settles nothing while the buffer is full: it hangs, or has
// forgotten an Ack. The fields but the first two are of the oldest event.
type Stall struct {
	Full     time.Duration // since an event was settled last, or the buffer was full
	Buffered int           // events in the buffer
	ID       string        // Event.ID
	Attempt  int           // Event.Attempt; 0: not handed out yet
	Received time.Time     // Event.Received
}
