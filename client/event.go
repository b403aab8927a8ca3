package client

import (
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Gap says that events may be missing just before the event that carries it.
type Gap = transport.Gap

// An Event is one event of the feed.
type Event struct {
	// Data is the payload. It is the consumer's own: never reused or overwritten.
	Data []byte
	// Type is the event type, where the feed has one. For server-sent events it is
	// "message" when the event names none.
	Type string
	// ID is the id that the event itself carries, or empty.
	ID string
	// Token is where to resume after this event. An event without a token of its
	// own has that of the event before it.
	Token string
	// Header is the header of the request that brought the event (webhooks).
	Header transport.Header
	// Received is when the read that brought the event returned.
	Received time.Time
	// Gap, if not nil, says that events may be missing just before this one.
	Gap *Gap
	// Attempt counts the deliveries of the event, from 1. It grows when a consumer
	// refuses the event or leaves without finishing it. Where the sender counts its own
	// deliveries (some webhooks), the first attempt has the sender's number.
	Attempt int

	sub    *Subscription  // nil until the event is in the window
	state  *atomic.Uint64 // its word in the window
	seq    uint64
	try    int // how often this subscription has handed it out
	settle func(error)
}

// Ack says that the event is done and never needed again. Acks may come in any
// order and from any goroutine; the checkpoint follows the oldest event that is not
// acknowledged. A second Ack changes nothing. Inside the body of Events or Batches
// no Ack is needed, but one is allowed.
//
// Ack records and does not wait: see [Subscription.Commit] for the durable save.
// It returns ErrFenced or ErrClosed when the position can no longer move; the work is
// done then, and whoever resumes sees the event again.
func (e Event) Ack() error {
	if e.sub == nil {
		return nil
	}
	return e.sub.ack(&e)
}

// Nack refuses the event: it holds its place, and the checkpoint with it, and is
// handed out again after a delay of 1 s that doubles with each attempt up to 1 min.
// Other events go on meanwhile. Whoever wants to give up after some attempts looks at
// Attempt, puts the event aside, and calls Ack. An event that its sender can repeat
// (a webhook) is returned to the sender instead. err is what [Trace] reports.
// Nack returns ErrFenced or ErrClosed like Ack.
func (e Event) Nack(err error) error {
	if e.sub == nil {
		return nil
	}
	return e.sub.nack(&e, err)
}

// Field returns a [Options].Token function that takes the token from the payload: the
// value at a gjson path, such as "data.id". A payload that is not valid JSON, or has
// nothing at that path, has no token of its own.
func Field(path string) func(Event) string {
	field := decode.Field(path)
	return func(e Event) string { return field(e.Data) }
}
