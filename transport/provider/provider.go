// Package provider describes the senders of webhooks as data: how each of them signs its
// deliveries, names them, groups events in one, checks that a receiver is there, and what
// it makes of an answer. Package transport receives with it, package mock sends with it.
package provider

import (
	"net/http"
	"time"
)

// A Request is a delivery as it was received: nothing of it is parsed, its content coding
// included.
type Request struct {
	Method string
	URL    string // the receiver's public URL with the query of this request
	Header http.Header
	Body   []byte    // as it was on the wire
	Time   time.Time // when it was received
}

// A Delivery is a request that was verified and understood.
type Delivery struct {
	ID     string // the sender's name for this delivery, the same when it is repeated; or empty
	Signed bool   // ID is covered by the signature
	Proof  Proof
	Key    int     // which of the secrets matched, from 0; -1 if the scheme has none
	Events []Event // what it brings, in order; empty for a handshake or a heartbeat
	Answer *Answer // what the sender waits for instead of a mere 2xx; nil: Answers.Accepted
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
	Duplicate Answer // settled before; Accepted
	Late      Answer // not settled within Deadline; 503 and Retry-After
	Busy      Answer // no space, draining, nobody subscribed, refused by the consumer; 503 and Retry-After
	Forged    Answer // the signature does not match; 401
	Malformed Answer // a header or the body cannot be read; 400
}

// A Provider is one sender. Presets such as GitHub return one that is complete but for
// what only the user knows; every field may be changed before it is in use.
type Provider struct {
	// Name appears in errors, such as "github". Required.
	Name string

	// Deadline is how long the sender waits for an answer, less a margin. Default 10 s.
	Deadline time.Duration

	// Answers are what this sender understands. Default: as Answers says.
	Answers Answers
}

// Validate reports everything about the provider that cannot work, an empty secret above
// all, joined into one error.
func (p *Provider) Validate() error { return nil }

// Greet answers a request that has no delivery in it: GET, HEAD and OPTIONS of a
// handshake. ok is false if this sender never sends such a request.
func (p *Provider) Greet(r *Request) (a *Answer, ok bool) { return nil, false }

// Precheck refuses, from the header alone, what cannot be verified whatever the body is.
// It is called before the body is read.
func (p *Provider) Precheck(r *Request) error { return nil }

// Receive verifies the request and takes it apart. Nothing of the body is parsed before
// the signature has matched, except where the signature is inside of it. The error of one
// that does not match has a method Forged() bool that returns true; any other error is a
// request that cannot be read. Receive may be called from several goroutines at once.
func (p *Provider) Receive(r *Request) (*Delivery, error) { return nil, nil }

// Sign makes r a delivery of this sender, with the given delivery id and at r.Time: it
// sets header, and body where the signature is inside of it. It is for senders under
// test. It returns an error for a scheme whose private key the provider does not have.
func (p *Provider) Sign(r *Request, id string) error { return nil }
