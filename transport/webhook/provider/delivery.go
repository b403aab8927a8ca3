package provider

import (
	"bytes"
	"net/url"

	"github.com/steadfeed/steadfeed/transport"
)

// A Delivery is a verified and parsed request.
type Delivery struct {
	ID      string // the sender's id of this delivery, the same on every attempt; or empty
	Signed  bool   // ID is covered by the signature
	Unique  bool   // the ID of each event identifies it among all deliveries, see Payload.Unique
	Tenant  string // see Tenants; empty without
	Proof   transport.Proof
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

// parse returns the Delivery of a verified request.
func (p *Provider) parse(r *Request, m match) *Delivery {
	var both struct { // one allocation: most deliveries have one event
		Delivery
		room [1]Event
	}
	d, y := &both.Delivery, &p.Payload
	payload := content{data: y.of(r)}
	*d = Delivery{ID: m.id, Signed: m.id != "", Proof: m.proof, Key: m.key}
	d.Tenant = r.Tenant()
	if r.isQuery() {
		payload.data = p.publicQuery(payload.data)
		if m.proof == transport.ProofBody && !p.SignsURL() {
			m.proof, d.Proof = transport.ProofMetadata, transport.ProofMetadata
		}
	}
	if d.ID == "" {
		d.ID = p.ID.value(r, &payload)
		d.Signed = d.ID != "" && m.proof == transport.ProofBody && p.ID.Header == ""
	}
	if p.Retry.Count.isSet() {
		d.Attempt = p.attempt(r, &payload)
	}
	switch {
	case y.split != nil || y.Items != "":
		d.Events = y.events(r, payload.data, both.room[:0])
	case m.id == "" && y.ID.same(&p.ID):
		d.Events = append(both.room[:0], Event{ID: d.ID, Type: y.kind(r, &payload), Data: payload.data})
	default:
		d.Events = append(both.room[:0], y.event(r, &payload))
	}
	d.Unique = y.Unique && p.authentic(m.proof, r)
	return d
}

// authentic reports whether the ids of events are as trustworthy as the events: a forger who has
// captured a delivery must not be able to give its events the ids of later ones.
func (p *Provider) authentic(proof transport.Proof, r *Request) bool {
	switch proof {
	case transport.ProofBody:
		return p.Payload.ID.Header == "" && firstHeader(r.Header, "Ce-Id") == ""
	case transport.ProofMetadata:
		return false
	}
	return true
}

// publicQuery returns a query without the token that authenticates it.
func (p *Provider) publicQuery(query []byte) []byte {
	name := p.traits().query
	if name == "" {
		return query
	}
	var public []byte
	for pair := range bytes.SplitSeq(query, []byte("&")) {
		key, _, _ := bytes.Cut(pair, []byte("="))
		if plain, err := url.QueryUnescape(string(key)); err != nil || plain == name {
			continue
		}
		if public != nil {
			public = append(public, '&')
		}
		public = append(public, pair...)
	}
	return public
}

// kind returns the type of the only event, or "" if there is not exactly one.
func (d *Delivery) kind() string {
	if len(d.Events) != 1 {
		return ""
	}
	return d.Events[0].Type
}
