package client

import (
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// A Gap reports that events may be missing just before the event that carries it.
type Gap = transport.Gap

// An Event is one event of the feed.
type Event struct {
	// Data is the payload. It belongs to the consumer and is never reused or overwritten.
	Data []byte
	// Type is the event type, if the feed has types. A server-sent event that names none has the
	// type "message".
	Type string
	// ID is the id that the event itself carries, or empty.
	ID string
	// Token is the token to resume after this event. An event that has none inherits the token of
	// the event before it.
	Token string
	// Delivery describes the request that delivered the event. It is nil except for a
	// [transport.Receiver].
	Delivery *transport.Delivery
	// Received is when the read that returned the event finished.
	Received time.Time
	// Gap, if not nil, reports that events may be missing just before this one.
	Gap *Gap
	// Attempt is the number of deliveries of the event, from 1. It grows when a consumer refuses
	// the event or leaves its loop without finishing it. If the sender counts its deliveries (some
	// webhooks), the first attempt has the sender's number.
	Attempt int
	// CaughtUp is true for the first event with which the initial state of the feed is known to be
	// complete: the last event of that state, or the first one after it. See
	// [Subscription.CaughtUp].
	CaughtUp bool
	// Replaced is the number of older events of its key that this event has replaced in the buffer; see
	// [OverflowLatest]. It is 0 with every other policy.
	Replaced int

	keep   bool          // a refusal is not returned to the sender, although settle is set
	sub    *Subscription // nil until the event is in the window
	claim  window.Claim
	settle func(error) // reports the outcome to the sender; nil if none waits for it
}

// set sets the fields of e to those of a claimed event.
func (e *Event) set(d *window.Slot) {
	e.Data, e.Type, e.ID, e.Token, e.Received = d.Data, d.Type, d.ID, d.Token, d.Received
	e.Attempt = e.claim.Attempt()
	if r := d.Rare(); r != nil {
		e.setRare(r)
	} else {
		e.Delivery, e.Gap, e.settle, e.CaughtUp, e.Replaced, e.keep = nil, nil, nil, false, 0, false
	}
}

func (e *Event) setRare(r *window.Rare) {
	e.Delivery, e.Gap, e.settle, e.CaughtUp, e.Replaced, e.keep = r.Delivery, r.Gap, r.Settle, r.CaughtUp, r.Replaced, r.Keep
	e.Attempt += r.Before
}

// isReturned reports whether a refusal returns the event to its sender, which repeats it.
func (e *Event) isReturned() bool { return e.settle != nil && !e.keep }

// Epoch is the epoch in which the subscription owns its checkpoint: it grows with each takeover. A
// database that remembers the highest one can refuse what a former owner still writes. It is 0 without
// a Store.
func (e Event) Epoch() uint64 {
	if e.sub == nil {
		return 0
	}
	return e.sub.epoch.Load()
}

// Ack marks the event as done: it will not be needed again. Acks may come in any order and from
// any goroutine; the checkpoint stays before the oldest event that is not acknowledged. A second
// Ack changes nothing. The body of Events or Batches needs no Ack, but may call it.
//
// Ack does not wait for the save: see [Subscription.Commit]. It returns ErrFenced or ErrClosed if
// the position can no longer move. The event is then delivered again, although its work is done.
func (e Event) Ack() error {
	if e.sub == nil {
		return nil
	}
	return e.sub.ack(&e)
}

// Nack refuses the event. The event is delivered again after a delay of 1 s that doubles with each
// attempt up to 1 min, or after the delay of [RetryAfter]; until it is acknowledged, the checkpoint
// cannot pass it. Other events are delivered meanwhile. An event whose sender waits for the outcome
// (a webhook) is returned to the sender instead, which repeats it.
//
// A refusal is permanent if err is or wraps one of [Terminal], or if this is the last attempt
// ([Options.MaxAttempts]): the event is then passed to [Options.DeadLetter], or ends the
// subscription with a *[RefusedError]. Nack does not wait for that.
//
// err is passed to [Trace].Nacked. A Nack of an event that is settled or refused changes nothing, and
// so does an Ack after it. Nack returns ErrFenced and ErrClosed like Ack.
func (e Event) Nack(err error) error {
	if e.sub == nil {
		return nil
	}
	return e.sub.nack(&e, err)
}

// Field returns an [Options].TokenOf function that takes the token from the payload: the value at a
// gjson path, such as "data.id". A payload that is not valid JSON, or has nothing at that path, has
// no token.
func Field(path string) func(Event) string {
	return func(e Event) string { return decode.Field(e.Data, path) }
}
