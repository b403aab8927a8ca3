package transport

import (
	"context"
	"errors"
	"net/http"
)

// A Receiver is a feed whose sender connects to this process and pushes its events, such as a
// webhook. It has no positions: only the sender can repeat what was not accepted.
//
// Listen starts to accept deliveries and returns once the sender can reach the Receiver. Each
// message is handed to deliver on the goroutine of the sender's request, with Message.Delivery set.
// ctx is the lifetime of the Listener, not only of the call: when it ends, Wait returns its cause.
// Listen may be called again after the last Listener was closed.
type Receiver interface {
	Source
	Listen(ctx context.Context, deliver Deliver) (Listener, error)
}

// A Deliver hands messages to the subscription, in order, and returns how many of them it
// accepted. If that is not all, err is the reason: ErrFull if the buffer has no space, or
// ErrClosed if the subscription accepts no more. Without messages, err reports whether one would
// be accepted now. A Deliver never waits, and may be called from several goroutines at once. The
// caller must not change what was accepted. If a Deliver panics, because a function of the program
// does, it is not known which messages were accepted: the Receiver recovers and refuses the
// request, so that the sender repeats them all.
//
// The Settle of a message that the subscription skips or drops is called before the Deliver
// returns, on the same goroutine. So a Receiver must not hold a lock that its Settle takes while it
// calls a Deliver, and a Settle must not call one.
type Deliver func(ms []Message) (accepted int, err error)

// A Listener is a Receiver that accepts deliveries.
type Listener interface {
	// Wait blocks until the Listener accepts no more deliveries and returns the reason. It is
	// called from one goroutine. ErrComplete means that the feed is complete; Close is then called
	// once every event of the subscription is settled, or when the subscription is closed.
	Wait() error
	// Close refuses further deliveries and unblocks Wait. Requests that still wait for a Settle
	// are refused; a later Settle has no effect. Close may be called from any goroutine and more
	// than once. It returns within a second, whatever the senders do.
	Close() error
}

// The errors of a Deliver.
var (
	ErrFull   = errors.New("transport: the subscription's buffer is full")
	ErrClosed = errors.New("transport: the subscription accepts no more events")
)

// A Delivery describes the request with which a Receiver got an event.
type Delivery struct {
	Provider string      // Name of the sender's provider, such as "github"
	Header   http.Header // of the request, without credentials; shared by the events of the request
	Proof    Proof       // what was verified
	Key      int         // which of several secrets matched; 0 is the first, or there is none
	Tenant   string      // whose secrets matched, see provider.Tenants; empty if there is one only
}

// A Proof is what the verification of a delivery proves.
type Proof uint8

const (
	ProofNone     Proof = iota // nothing: the sender does not authenticate
	ProofBearer                // the sender knows a secret; body and headers are not protected
	ProofMetadata              // the sender has signed parts of the request, not the body
	ProofBody                  // the sender has signed the body
)

func (p Proof) String() string {
	switch p {
	case ProofNone:
		return "none"
	case ProofBearer:
		return "bearer"
	case ProofMetadata:
		return "metadata"
	case ProofBody:
		return "body"
	}
	return "unknown"
}
