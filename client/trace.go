package client

import (
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A Trace is a set of callbacks for what happens to a subscription. Any of them may be nil. They
// run on the goroutine where it happens, such as the subscription's or a consumer's, and may run
// concurrently. They must return quickly and must not wait for the subscription (Close, Commit,
// Next). A Trace must not be changed while it is in use.
type Trace struct {
	// StateChanged is called after each change of Stats.State. A buffer that is full is no change until
	// no event was settled for 30 s.
	StateChanged func(Transition)
	// Connecting is called before each attempt to connect, and Connected when it has succeeded and the
	// connection is read. Disconnected is called once for each attempt: when it has failed, when the
	// connection has ended, or when the successor of a connection is not needed.
	Connecting   func(ConnectInfo)
	Connected    func(ConnectInfo)
	Disconnected func(DisconnectInfo)
	// Signal is called for each message between events that is neither a position nor a
	// reconnection time, such as a comment or a keepalive.
	Signal func(transport.Message)
	// Gap is called when a possible loss is detected. The next event then has a Gap, unless
	// Options.Backfill repairs the loss. Of a loss by Options.Overflow, it is called with the first
	// event; Missed grows with each event until the next one is delivered.
	Gap func(Gap)
	// Dropped is called with each event that Options.Overflow drops or replaces.
	Dropped func(e Event)
	// Backfilling is called before each call of Options.Backfill, and Backfilled after it.
	Backfilling func(BackfillInfo)
	Backfilled  func(BackfillInfo)
	// CaughtUp is called once, when the initial state of the feed has been received. Its events may
	// not be handled yet: see Subscription.CaughtUp.
	CaughtUp func()
	// Nacked is called when a consumer has refused an event.
	Nacked func(e Event, err error)
	// DeadLettered is called after each call of Options.DeadLetter. reason is the argument of Nack,
	// and err what DeadLetter returned: if nil, the event is settled next.
	DeadLettered func(e Event, reason, err error)
	// Suspected is called with the first event after several processes in a row have crashed without
	// progress: it may have ended them. See Checkpoints in the package documentation.
	Suspected func(e Event, crashes int)
	// Stalled is called when the buffer has been full for 30 s without an event being settled, and
	// again at intervals that double up to an hour.
	Stalled func(Stall)
	// Saved is called after each attempt to save the checkpoint.
	Saved func(SaveInfo)
	// Ended is called once, when the subscription has ended: with nil if the feed is complete or
	// Close was called, and otherwise with the error that the consumer gets.
	Ended func(err error)
}

// A ConnectInfo is an attempt to connect.
type ConnectInfo struct {
	ID       uint64        // of the attempt and of the connection that it opens, from 1
	Number   int           // 1 for the first after progress
	Resuming bool          // whether a token is presented
	Handover bool          // it replaces a connection that is still open
	Took     time.Duration // to connect; 0 in Connecting
}

// A DisconnectInfo reports why a connection ended, or why an attempt to connect failed, and what
// follows.
type DisconnectInfo struct {
	ID       uint64        // see ConnectInfo
	Err      error         // is or wraps io.EOF if the server ended the connection cleanly
	Opened   bool          // false if Connected was not called
	Handover bool          // see ConnectInfo
	Events   int           // new events on this connection
	Uptime   time.Duration // of this connection
	Class    retry.Class   // of a failure
	Delay    time.Duration // until the next attempt
	Final    bool          // no further attempt follows
	// Planned reports that this is no failure: the feed is complete, or the subscription or its
	// transport has ended the connection, for the reason Err.
	Planned bool
}

// A BackfillInfo is a call of Options.Backfill.
type BackfillInfo struct {
	Gap     Gap           // what it is asked for
	Attempt int           // for this gap, from 1
	Events  uint64        // delivered, including those skipped or dropped; 0 in Backfilling
	Took    time.Duration // 0 in Backfilling
	Err     error         // nil: the gap is repaired. ErrAcceptGap: it is accepted
	Delay   time.Duration // until the next attempt, if one follows
}

// A SaveInfo is an attempt to save the checkpoint.
type SaveInfo struct {
	Err    error         // nil: the checkpoint is durable
	Events uint64        // acknowledged events that the checkpoint covers
	Took   time.Duration // duration of the attempt
}

// A Stall is a consumer that settles nothing while the buffer is full, or while a transport.Poll with
// Confirms waits for it: it hangs, or does not call Ack. ID, Attempt and Received are those of the oldest event.
type Stall struct {
	Full     time.Duration // since an event was last settled, or since the buffer became full
	Buffered int           // events in the buffer
	ID       string        // Event.ID
	Attempt  int           // Event.Attempt; 0: not delivered yet
	Received time.Time     // Event.Received
}
