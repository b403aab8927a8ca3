package provider

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// A Request is a delivery as it was received: nothing of it is parsed, its content coding
// included. The first Delivery that is made of it is kept in it, to save an allocation.
type Request struct {
	Method string
	URL    string // the receiver's public URL with the query of this request
	Header http.Header
	Body   []byte    // as it was on the wire
	Time   time.Time // when it was received

	// Context and Deadline tell until when somebody waits for the answer: what its
	// verification has to wait for ends with either. Default: no end.
	Context  context.Context
	Deadline time.Time

	opened opened
	taken  uint32 // atomic: 1 once opened is
}

// A Delivery is a request that was verified and understood.
type Delivery struct {
	ID      string // the sender's name for this delivery, the same when it is repeated; or empty
	Signed  bool   // ID is covered by the signature
	Proof   Proof
	Attempt int     // of the sender to bring this delivery, from 1; 0: it does not count them
	Key     int     // which of the secrets matched, from 0; -1 if the scheme has none
	Events  []Event // what it brings, in order; empty for a handshake or a heartbeat
	Answer  *Answer // what the sender waits for instead of a mere 2xx; nil: Answers.Accepted
}

// An Event is one of the events of a delivery.
type Event struct {
	ID   string // of its own, or empty
	Type string
	Data []byte // of the body, not copied where it can be cut from it
}

// Proof is what a verified request proves about its sender.
type Proof uint8

const (
	ProofNone     Proof = iota // nothing
	ProofBearer                // the sender knows a secret that travels with each request; the body is not protected
	ProofMetadata              // some fields are signed, the body as a whole is not
	ProofBody                  // the whole body is signed
)

// An Answer is a response. Its body is constant or made of what was verified.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Answers are the responses that a sender understands for each outcome. Zero values mean
// the defaults named.
type Answers struct {
	Accepted  Answer // settled, or queued; 204
	Queued    Answer // queued and not yet settled; Accepted
	Duplicate Answer // settled before; Accepted
	Late      Answer // not settled within Deadline; 503 and Retry-After
	Busy      Answer // no space, draining, nobody subscribed, not verified in time, refused by the consumer; 503 and Retry-After
	Forged    Answer // the signature does not match; 401
	Malformed Answer // a header or the body cannot be read; 400
}

// A Provider is one sender. Presets such as GitHub return one that is complete but for
// what only the user knows; every field may be changed before it is in use. A Provider of
// one's own gets its secrets with SetSecrets.
type Provider struct {
	// Name appears in errors, such as "github". Required.
	Name string

	// Deadline is how long the sender waits for an answer, less a margin. Default 10 s.
	Deadline time.Duration

	// Answers are what this sender understands. Default: as Answers says.
	Answers Answers

	// Retry is how this sender repeats a delivery. Default: as Retry says.
	Retry Retry

	// Scheme is how the sender proves that a delivery is its own. Required; Unsigned{} is
	// for a sender that proves nothing.
	Scheme Scheme

	// ID is where the name of a delivery is, if Scheme does not sign one. Default: it has
	// none.
	ID Source

	// Payload is how the events are found in the body. Default: the body is one event.
	Payload Payload

	// Greeting answers a request that asks whether a receiver is here, before anything of
	// it is verified: the answer must not depend on it further than that. ok is false for
	// a request that is none. Of a POST it is asked before the body is read, and once more
	// with it. To see the body of a POST without a proof, such as the first one of Notion or
	// monday, it returns nil and true while r.Body is nil, and false with a body that is not
	// a question, which is then verified. It is given no secrets; it may close over those that
	// it compares. It may be called concurrently. Default: none is answered.
	Greeting func(r *Request) (a *Answer, ok bool)

	// Challenge answers a verified request that asks for more than a 2xx, or returns nil.
	// It may change d, whose Events a mere handshake has none of. It may be called
	// concurrently. Default: none does.
	Challenge func(r *Request, d *Delivery) *Answer

	keys atomic.Pointer[keys]
}
