// Package transport connects to feeds and reads them message by message. [HTTP] reads the body of a
// long-lived response, [WebSocket] the messages of a WebSocket, and [Poll] pages that it asks for
// again and again. A [Receiver] is a feed that its sender pushes; package webhook has one. Any
// implementation of [Transport] or [Receiver] can be subscribed to; package transporttest checks
// it.
//
// # Delivery
//
// A transport delivers the messages of one connection in order and holds no more than the message
// being read, or the page that a Poll has received. It never retries, queues or logs. A loss that
// it detects is reported as a [Gap] on the message after it. A partial message is never delivered.
// The error of Read distinguishes a connection that the server ended (io.EOF: reconnect) from a
// feed that is complete ([ErrComplete]) and from a connection that was cut off
// (io.ErrUnexpectedEOF).
//
// # Errors
//
// The methods of an error report what can be done about it: StatusCode() int, RetryAfter()
// time.Duration, RejectsToken() bool, Timeout() bool, Protocol() bool and Retryable() bool.
// Only errors that know the answer have the method Retryable. An error with none of these
// methods is a network failure. Error texts contain at most the origin (scheme and host) of a
// URL.
//
// # Goroutines
//
// A connection that is being read has no goroutine of this package; timers and the end of a
// context start short-lived ones. After Close none remains, with one exception in net/http: a
// dial of the caller's own http.Transport continues until that Transport's limit.
//
// # Testing
//
// A transport works in a testing/synctest bubble if its network does: give HTTP a Client whose
// connections are in memory.
package transport

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// A Transport opens connections to one feed. It never retries, queues or logs; its caller does.
// Open may be called again after the last Conn was closed, any number of times and from any
// goroutine.
//
// Open connects and returns once the feed is ready to be read. A token that is not empty names
// the position to resume after. ctx is the lifetime of the connection, not only of the call:
// when it ends, Open and Read return.
//
// The methods of an error report what to do about it; see package retry. ErrComplete means that
// the feed is complete.
type Transport interface {
	Source
	Open(ctx context.Context, token string) (*Session, error)
}

// A Source is a feed that package client can subscribe to. Validate reports every option that
// cannot work, joined into one error; Subscribe calls it before anything else.
type Source interface {
	Validate() error
}

// A Session is an open connection and what its transport knows of it. A Transport that wraps
// another one replaces Conn and keeps the other fields.
type Session struct {
	Conn

	// Resumes reports that the transport presents tokens to the server: this connection started
	// at the position given to Open, and a later one can start after the last event. Without it,
	// every reconnect may lose events and is reported as a Gap.
	Resumes bool

	// MaxPause is how long the peer tolerates a connection that is not read. If the consumer is
	// slower and there is a position to resume from, the connection is closed, and resumed once
	// the consumer has space. Zero: without limit.
	MaxPause time.Duration

	// OnConfirm, if not nil, registers how to wait for the consumer, for a peer that deletes what is
	// before the position that it is asked for. It is called once, before the first Read. The Conn
	// calls settled from Read before it presents such a position; settled returns nil once every
	// message read before is acknowledged, or the cause of the connection's end.
	OnConfirm func(settled func() error)

	// OnExpiring, if not nil, registers what to do when the connection knows that it will end. It
	// is called once. The Conn calls replace at most once, from any goroutine: a successor is
	// then opened while this Conn is still read. Neither function blocks.
	OnExpiring func(replace func())
}

// A Conn is one connection to a feed.
type Conn interface {
	// Read sets every field of m to those of the next message. It is called from one goroutine.
	// After an error, m is undefined and every further Read returns an error. io.EOF means that
	// the server ended this connection cleanly and that the feed continues. ErrComplete means that
	// the feed is complete. A connection that ends inside a message returns
	// io.ErrUnexpectedEOF; the partial message is not delivered.
	Read(m *Message) error
	// Close releases the connection and unblocks Read. It may be called from any goroutine and
	// more than once. It returns within a second, whatever the peer does.
	Close() error
}

// ErrComplete is returned when a feed is complete and there is nothing to reconnect to.
var ErrComplete = errors.New("transport: feed is complete")

// A Message is the result of one Read: an event, or what the server sends between events.
type Message struct {
	Data  []byte // owned by the receiver; never reused or overwritten
	Type  string
	ID    string // the event's own id, for Dedupe; empty if it has none
	Token string // position to resume after this message; empty if there is none. An SSE id is both

	// Kind distinguishes events (decode.KindData) from what the server sends between them.
	Kind decode.Kind
	// Delay is the reconnection time that a decode.KindRetry message asks for.
	Delay time.Duration
	// Gap, if not nil, reports that events may be missing just before this message.
	Gap *Gap
	// More reports that the next Read returns without waiting for the network. A transport that
	// cannot know leaves it false.
	More bool
	// CaughtUp reports that the initial state of the feed is complete with this message: a
	// bookmark, or the last message that waits at present. See client.Subscription.CaughtUp.
	CaughtUp bool
	// Attempt is the number of times the sender has delivered this event, from 1; 0 if unknown.
	Attempt int
	// Parts, set by OnMessage, are the events that the message consists of, such as the elements
	// of an array or the publications of a recovery. They are delivered in its place, in order.
	// Each is complete: only the message's Gap is inherited, by the first. OnMessage does not see
	// them again; WebSocket.Format does. If Parts is empty but not nil, the message becomes a
	// decode.KindKeepalive. OnMessage may reuse the slice when it is next called on the same
	// connection, but not the Data in it. A Conn returns no Parts.
	Parts []Message
	// Delivery describes the request that delivered the event. It is nil except for a Receiver.
	Delivery *Delivery
	// Settle, if set, is called at most once: with nil when the event is acknowledged, or with the
	// consumer's error when it is refused, unless the subscription ends before. Only the sender
	// can repeat a refused event.
	Settle func(error)
}

// takeApart makes m the first of its parts and returns the others.
func (m *Message) takeApart() []Message {
	gap, parts := m.Gap, m.Parts
	if len(parts) == 0 {
		*m = Message{Kind: decode.KindKeepalive, Gap: gap, CaughtUp: m.CaughtUp}
		return nil
	}
	parts = m.nextPart(parts)
	if gap != nil && m.Gap != nil {
		both := *gap
		both.Missed += m.Gap.Missed
		gap = &both
	}
	m.Gap = cmp.Or(gap, m.Gap)
	return parts
}

// nextPart makes m the first of parts and returns the others.
func (m *Message) nextPart(parts []Message) []Message {
	*m = parts[0]
	m.Parts = nil
	return parts[1:]
}

// A Gap reports that events may be missing. It is delivered in order, in the place of the loss.
type Gap struct {
	Reason GapReason
	From   string // token of the last event before the gap; empty if unknown
	To     string // token of the first event after the gap; empty if unknown
	Key    string // key whose sequence jumped (client.Options.SequenceOf)
	Missed uint64 // number of missing events; 0 if unknown
	Err    error  // error that revealed the gap, if any
}

// A GapReason is the cause of a possible loss.
type GapReason string

const (
	GapStart         GapReason = "start"          // a subscription starts without a position; asked of client.Options.Backfill only
	GapTokenRejected GapReason = "token rejected" // the server no longer knows the position
	GapNoToken       GapReason = "no token"       // reconnected without a position to resume from
	GapSequence      GapReason = "sequence jump"  // the events' own numbers skip
	GapNotice        GapReason = "notice"         // the server announced a loss
	GapBadFrame      GapReason = "bad frame"      // an unreadable frame was skipped
	GapOverflow      GapReason = "overflow"       // the buffer was full; see client.Options.Overflow
)

// Error makes a *Gap an error, for a gap that no event follows.
func (g *Gap) Error() string { return "transport: events may be missing: " + string(g.Reason) }

// Unwrap returns Err.
func (g *Gap) Unwrap() error { return g.Err }
