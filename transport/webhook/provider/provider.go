package provider

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// A Request is a delivery as it was received: nothing in it is parsed, and its content coding
// is not removed. The first Delivery returned for it is stored inside it, to save an
// allocation.
type Request struct {
	Method string
	URL    string // the receiver's public URL with the query of this request
	Header http.Header
	Body   []byte    // as on the wire
	Time   time.Time // when it was received

	// Context and Deadline end the wait for the answer. A verification that waits for a free
	// processor stops when either ends; AmazonSNS instead gives each of its own requests 5 s.
	// Default: no end.
	Context  context.Context
	Deadline time.Time

	opened opened
	taken  uint32 // atomic: 1 once opened is
}

// A Delivery is a verified and parsed request.
type Delivery struct {
	ID      string // the sender's id of this delivery, the same on every attempt; or empty
	Signed  bool   // ID is covered by the signature
	Proof   Proof
	Attempt int     // the sender's attempt at this delivery, from 1; 0: unknown
	Key     int     // index of the secret that matched; -1: the scheme has none
	Events  []Event // in order; empty for a handshake or a heartbeat
	Answer  *Answer // the answer that the sender requires; nil: one of Answers
}

// An Event is one event of a delivery.
type Event struct {
	ID   string // the id of the event, or empty
	Type string
	Data []byte // a subslice of the body where possible, otherwise a copy
}

// Proof is what a verified request proves about its sender.
type Proof uint8

const (
	ProofNone     Proof = iota // nothing
	ProofBearer                // the sender knows a secret that each request contains; the body is not protected
	ProofMetadata              // some fields are signed, the body as a whole is not
	ProofBody                  // the whole body is signed
)

// An Answer is a response. Its body is constant or built from verified values, except that a
// handshake may echo a token, which is checked.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Answers are the responses to a sender, one for each outcome. The zero value of each means
// its default.
type Answers struct {
	Accepted  Answer // settled, or queued. Default: 204.
	Queued    Answer // queued and not yet settled. Default: Accepted.
	Duplicate Answer // settled before. Default: the answer to a new delivery.
	Late      Answer // not settled within Deadline. Default: 503 with Retry-After.
	Busy      Answer // no space, draining, not subscribed, not verified in time, or refused by the consumer. Default: 503 with Retry-After.
	Forged    Answer // the signature or token does not match. Default: 401.
	Malformed Answer // a header or the body is malformed. Default: 400.
}

// A Provider describes one sender. A preset such as GitHub returns one that lacks only what is
// specific to the account, such as secrets. Every field may be changed before the Provider is
// in use. SetSecrets sets the secrets of a Provider that is not a preset.
type Provider struct {
	// Name appears in errors, such as "github". Required.
	Name string

	// Deadline is how long the sender waits for an answer, less a margin. Default: 10 s.
	Deadline time.Duration

	// Answers are the responses to this sender. Default: those named at Answers.
	Answers Answers

	// Retry is how this sender repeats a delivery. Default: those named at Retry.
	Retry Retry

	// Scheme is how a delivery is verified. Required; Unsigned{} verifies nothing.
	Scheme Scheme

	// ID is where the delivery id is, if Scheme does not sign one. Default: none.
	ID Source

	// Payload is how the events are found in the body. Default: the body is one event.
	Payload Payload

	// Greeting answers a handshake, a request that asks whether a receiver is present. Nothing
	// in r is verified yet: trust it no further than the handshake requires. ok is false for
	// any other request. For a POST, Greeting is called before the body is read, and again
	// with the body. It gets no secrets, but may close over those that it compares. It may be
	// called concurrently. Default: no handshake is answered.
	//
	// Some senders, such as Notion and monday, ask with an unsigned POST. To read its body,
	// Greeting returns nil and true while r.Body is nil. It then returns false for a body that
	// is not a handshake, which is verified.
	Greeting func(r *Request) (a *Answer, ok bool)

	// Challenge returns the answer to a verified request that needs more than a 2xx, or nil.
	// It may change d, and removes the Events of a delivery that is only a handshake. It may
	// be called concurrently. Default: none.
	Challenge func(r *Request, d *Delivery) *Answer

	keys atomic.Pointer[keys]
}
