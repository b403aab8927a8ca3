// Package transport opens connections to feeds and reads them message by message.
// [HTTP] is a feed that arrives as the body of a long-lived response, [WebSocket] one that
// arrives as messages, and [Webhook] one that others push. Whatever keeps the small contract
// of [Transport] and [Conn] can be subscribed to; package transporttest proves that it does.
//
// # Delivery
//
// A transport delivers what one connection brings, in order, and holds no more than the
// message being read. It never retries, queues or logs. What it knows to be lost, it says:
// as a [Gap] on the message behind the loss. A partial message is never delivered.
// Whether a connection ended well is told apart: io.EOF (reconnect), [ErrEnd] (done),
// io.ErrUnexpectedEOF (cut off).
//
// # Errors
//
// An error says by its methods what can be done about it: StatusCode() int, RetryAfter()
// time.Duration, RejectsToken() bool, Timeout() bool, Protocol() bool, and Retryable() bool,
// which only those errors have that know the answer. One without any of them is a failure
// of the network. The texts name an origin (scheme and host) at most.
//
// # Goroutines
//
// No goroutine of this package stands while a connection is read, but that of a Webhook's own
// listener; timers and the end of a context start short ones. After Close nothing is left, with one exception that is
// net/http's: when the caller's own http.Transport is still dialling, it goes on until
// that Transport's limit for it.
//
// # Testing
//
// A transport works inside a testing/synctest bubble if the network under it does: give
// HTTP a Client whose connections are in memory.
package transport

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// A Transport opens connections to one feed. It never retries, queues or logs:
// that is the caller's part. Open may be called again after the last Conn was
// closed, as often as the caller likes, and from any goroutine.
//
// Open connects and returns once the feed is ready to be read. A token that is not
// empty names the position after which the feed is to resume. ctx is the life of the
// connection, not only of the call: when it ends, Open and Read return.
//
// A failure says what to do about it by its methods; see package retry.
// ErrEnd means that the feed is complete.
type Transport interface {
	Open(ctx context.Context, token string) (Conn, error)
}

// A Positionless is a [Transport] that may have no positions: then Open ignores its token,
// and only the sender can repeat what was missed. Positionless reports whether that is so;
// Options.Store and Options.StartAt of package client are refused with it. It is called
// before Open, from any goroutine. A transport that wraps another one forwards it.
type Positionless interface {
	Transport
	Positionless() bool
}

// A Conn is one connection to a feed. It may be a [Patient], an [Expirer], a [Resumer], a
// [ReaderTo], an [Offerer] and a [Lingerer] too. One that wraps another embeds what [Extend]
// returns, so that it cannot lose an ability of that.
type Conn interface {
	// Read returns the next message. It is called from one goroutine. To call it again
	// says that the message before it has been taken into keeping.
	// After an error every further Read returns an error.
	// io.EOF says that the server ended this connection in good order; the feed
	// goes on. ErrEnd says that the feed is complete. A connection that ends
	// inside a message is io.ErrUnexpectedEOF, and the partial message is lost.
	Read() (Message, error)
	// Close releases the connection and unblocks Read. It may be called from any
	// goroutine and more than once, and returns within a second whatever the peer does.
	Close() error
}

// ErrEnd says that a feed is complete and that there is nothing to reconnect to.
var ErrEnd = errors.New("transport: the feed has ended")

// A Message is what one Read brings: an event, or something said between events.
type Message struct {
	Data   []byte // the receiver's own; never reused or overwritten
	Type   string
	ID     string // the event's own id, empty when it carries none
	Header Header // of the request that brought the event (webhooks)

	// Kind tells events (decode.Data) from what is said between them.
	Kind decode.Kind
	// Delay is the reconnection time that a decode.Retry message asks for.
	Delay time.Duration
	// Gap says that the transport knows of a loss just before this message.
	Gap *Gap
	// More says that the next Read returns without waiting for the network.
	// A transport that cannot tell leaves it false.
	More bool
	// Attempt counts how often the sender has delivered this event, from 1.
	// 0 means unknown.
	Attempt int
	// Parts, set by Control, are the events that the message consists of, such as those of
	// an array or of a recovered publication. They are delivered instead of it, in order, and
	// each is complete: nothing but the message's Gap is handed down, to the first. Control
	// does not see them again; WebSocket.Format does. Empty but not nil, they make the message
	// a decode.Keepalive. Control may use the slice again when it is next called on the
	// same connection, but not the Data in it. A Conn returns no Parts.
	Parts []Message
	// Settle, if set, is called exactly once when the event is acknowledged (nil) or
	// refused (the consumer's error). The refused event is the sender's to repeat.
	Settle func(error)
}

// takeApart makes m the first of its parts, and returns the others.
func (m *Message) takeApart() []Message {
	gap, parts := m.Gap, m.Parts
	if len(parts) == 0 {
		*m = Message{Kind: decode.Keepalive, Gap: gap}
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

// nextPart makes m the first of parts, and returns the others.
func (m *Message) nextPart(parts []Message) []Message {
	*m = parts[0]
	m.Parts = nil
	return parts[1:]
}

// A Gap says that events may be missing. It is a value in the stream, in order.
type Gap struct {
	Reason GapReason
	From   string // token of the last event before the gap; empty if unknown
	To     string // token of the first event after the gap; empty if unknown
	Key    string // whose sequence jumped (Sequence)
	Missed uint64 // how many events are missing; 0 if unknown
	Err    error  // what revealed the gap, if an error did
}

// GapReason says how a loss came about.
type GapReason string

const (
	TokenRejected GapReason = "token rejected" // the server no longer knows the position
	NoToken       GapReason = "no token"       // reconnected without a position to resume from
	SequenceJump  GapReason = "sequence jump"  // the events' own numbering skips
	Notice        GapReason = "notice"         // the server says so itself
	BadFrame      GapReason = "bad frame"      // a frame that cannot be read was passed over
)

// Error makes a *Gap an error where no event is left to carry it.
func (g *Gap) Error() string { return "transport: events may be missing: " + string(g.Reason) }

// Unwrap returns Err.
func (g *Gap) Unwrap() error { return g.Err }
