// Package window is the buffer of a subscription: the events that were received and are not yet
// settled, in order.
//
// It has three faces. The producer stages events and publishes them (producer.go), consumers claim
// and settle them (consumer.go), and the checkpoint follows the low mark, before which everything is
// settled (low.go). Positions count up from 0:
//
//	[low, next)     delivered, or settled after one that is not
//	[next, tail)    ready to be delivered
//	[tail, staged)  written by the producer, not yet published
//
// Consumers claim a position by compare-and-swap on next and settle it by compare-and-swap on the
// slot's state, so an event costs neither side a lock. The producer only writes the event: tail
// publishes a whole batch. low moves at a sweep, by the producer for space and by the checkpoint for
// the token. It never passes next, and a slot that is claimed and not settled is never reused. Slots
// are in segments, which are allocated and released with the backlog.
//
// With a queue (queue.go), an event that no consumer has claimed has no position yet.
//
// A token without an event takes no place: the last one before an event is in the event's slot, and
// the last one after all events in trailing.
package window

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// An Entry is an event that is staged.
type Entry struct {
	Data     []byte
	Type, ID string
	Token    string
	Received time.Time
	Rare
}

// Rare is what most events have nothing of.
type Rare struct {
	Delivery *transport.Delivery
	Gap      *transport.Gap
	Settle   func(error)
	Before   int  // deliveries by the sender before this one
	Replaced int  // older events of its key in whose place it is
	Keep     bool // a refusal is not returned to the sender, although Settle is set
	CaughtUp bool // the initial state of the feed is complete
}

// A Window is the buffer of one subscription.
type Window struct {
	maxEvents uint64
	maxBytes  uint64

	directory atomic.Pointer[directory]

	_    cacheLine
	tail atomic.Uint64

	// Used by the producer only.
	_           cacheLine
	staged      uint64
	stagedBytes uint64   // of Data in [0, staged)
	staging     *segment // the segment of staged, unless staged starts a new one
	lead        string   // the last token staged after the last event, "" if none
	unpublished int      // events and tokens staged since the last publish
	swept       mark     // low at the last sweep
	forgotten   uint64   // segments that forget has handled
	publishes   uint64
	pace        pace

	_    cacheLine
	next atomic.Uint64
	_    cacheLine

	// Rarely written and often read.
	starved  atomic.Int32                    // consumers that wait for an event
	polling  atomic.Int32                    // consumers that wait for pollAfter and then check again
	busy     atomic.Bool                     // the feed is fast: consumers poll
	returns  atomic.Int32                    // events in returned
	held     atomic.Int32                    // events that are held
	alone    atomic.Bool                     // only one event may be in hand
	watchers atomic.Int32                    // callers that wait for changed
	full     atomic.Bool                     // the producer waits for space
	crowded  atomic.Bool                     // the producer has no space and drops events
	ready    chan struct{}                   // one token: there may be something to claim
	space    chan struct{}                   // one token: low may be able to move; nil before the first Press
	ended    chan struct{}                   // closed when nothing more is staged
	timers   sync.Pool                       // of *time.Timer
	queue    *waitQueue                      // nil unless events may be dropped
	looking  atomic.Pointer[[]chan struct{}] // see Notify; the list is replaced, not changed
	_        cacheLine

	mu        sync.Mutex // held for a few instructions, never across a wait
	low       mark
	tailBytes uint64     // of Data in [0, tail)
	trailing  mark       // a token without an event, and the position where it was published
	spares    []*segment // settled segments to reuse
	returned  returns    // events that must be delivered again

	isMarked     bool   // SetMark was called
	markedAt     uint64 // position before which everything must be settled
	markedNumber uint64 // with a queue: of the last event before the mark
	markedLeft   int    // with a queue: events before the mark that have not left it

	pressed chan struct{} // closed while the producer waits for space; nil unless a consumer asked for it
	changed chan struct{} // closed at the next settle; nil unless there was a watcher since the last one
}

// New returns an empty window for at most maxEvents events with at most maxBytes bytes of data.
func New(maxEvents, maxBytes int) *Window {
	w := &Window{
		maxEvents: uint64(maxEvents),
		maxBytes:  uint64(maxBytes),
		returned:  newReturns(),
		ready:     make(chan struct{}, 1),
		ended:     make(chan struct{}),
	}
	w.directory.Store(newDirectory(leastSegments))
	return w
}

// segment returns the segment of a position in [low, staged).
func (w *Window) segment(seq uint64) *segment { return w.directory.Load().at(seq).Load() }

// state returns the word of a position in [low, staged).
func (w *Window) state(seq uint64) *atomic.Uint64 {
	return &w.segment(seq).states[seq%segmentSize]
}

// signal puts a token into c unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
