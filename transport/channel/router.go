package channel

import (
	"io"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// A Router takes what a message of the server means for the channels. Its methods may be called
// only by OnMessage, before it returns. None of them fails: what concerns a channel that is not
// open has no effect, because the server may not know yet that it was removed.
type Router struct{ link *link }

// Deliver hands m to a channel: an event, a decode.KindPosition to resume after, or a keepalive,
// each of which may have a Gap. Call it once for each event of a message; m.Parts is ignored. Events
// may be delivered before the acknowledgement. If the channel is not open, m is dropped. It counts as
// Stats.Unrouted, unless the server must still acknowledge that the channel was removed.
func (r *Router) Deliver(name string, m transport.Message) {
	target := r.link.target(name, &m)
	if target == nil {
		return
	}
	m.Parts = nil
	r.link.put(target, &m)
}

// target returns the channel that a message is for, or nil.
func (l *link) target(name string, msg *transport.Message) *member {
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	m := l.members[name]
	switch {
	case m != nil && m.dirty && m.state < open:
		m.missed = m.missed || msg.Kind == decode.KindData
		return nil
	case m == nil || m.state == waiting || m.state == over:
		if l.left[name] == nil {
			l.mux.stats.Unrouted++
		}
		return nil
	}
	if l.mux.NoAcks && m.state == requested {
		m.accept() // the server answers before Send has returned
	}
	if msg.Kind == decode.KindData {
		l.events++
	}
	l.moved = l.moved || msg.Token != ""
	return m
}

// Ack records that the server has acknowledged the subscription to a channel, for protocols whose
// acknowledgements name the channel. Call it before Deliver with events of the same message.
func (r *Router) Ack(name string) {
	l := r.link
	defer l.reportMissed()
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	if m := l.members[name]; m != nil {
		l.ack(m)
	}
}

// reportMissed reports what was dropped before an acknowledgement. It does not wait for the next
// message, which may not come.
func (l *link) reportMissed() {
	l.mux.mu.Lock()
	missed := l.missed
	l.missed = nil
	l.mux.mu.Unlock()
	for _, m := range missed {
		l.put(m, &transport.Message{Kind: decode.KindKeepalive, Gap: &transport.Gap{Reason: transport.GapNotice}})
	}
}

// ack opens a channel. The caller holds the mutex of the Mux.
func (l *link) ack(m *member) {
	if m.state != requested {
		return
	}
	if d := l.left[m.request.Name]; d != nil { // sent before the request that is acknowledged
		l.departed(d)
	}
	m.accept()
	if m.missed {
		m.missed = false
		l.missed = append(l.missed, m)
	}
}

// accept opens a channel. The caller holds the mutex of the Mux.
func (m *member) accept() {
	m.state, m.acked = open, true
	m.notify()
}

// End records that the server does not send a channel any more: it refuses it, has ended it, or
// acknowledges that it was removed. What follows depends on err: nil means that it is subscribed to
// again soon, and transport.ErrComplete that it is complete. Any other error is handled like any
// failure, by its methods: by default, one whose Retryable returns false ends the subscription (see
// package retry). What was delivered before is read before the error.
func (r *Router) End(name string, err error) {
	l := r.link
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	m, d := l.members[name], l.left[name]
	if d != nil {
		l.departed(d)
		if m == nil || m.state != requested {
			return
		}
		l.depart(m) // either may be meant: after this, the server sends neither
	}
	if m != nil {
		l.ended(m, err)
	}
}

// ended ends a channel that the server has refused or ended. The caller holds the mutex of the Mux.
func (l *link) ended(m *member, err error) {
	op := "ended"
	switch {
	case m.state == waiting:
		return
	case err == transport.ErrComplete:
		m.end(err)
		return
	case m.state == requested && err != nil:
		op = "refused"
	case err == nil:
		err = io.EOF
	}
	m.end(&Error{Channel: m.request.Name, Op: op, Err: err})
}

// Reply records the server's reply to the message with an id: an acknowledgement if err is nil, and
// otherwise a refusal or the end of its channels, as with End. It is for protocols whose replies
// have the id of the request. A reply to a message whose channels were removed has no effect.
func (r *Router) Reply(id int64, err error) {
	l := r.link
	defer l.reportMissed()
	halve := isHalved(err)
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	q := l.requests[id]
	if q == nil {
		return
	}
	for _, d := range q.departures { // refused or not: it is not sent any more
		l.departed(d)
	}
	if err != nil {
		l.refuse(q, "refused", err, halve)
	}
	for _, m := range q.members {
		switch {
		case m.request.ID != id:
		case err == nil:
			l.ack(m)
		case m.state == open:
			l.ended(m, err)
		}
	}
}

// NameOf returns the name of the channel that the message with an id has subscribed to, or "" if
// there is none any more. With Batch, a message may have several channels: then it is "".
func (r *Router) NameOf(id int64) string {
	l := r.link
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	q := l.requests[id]
	if q == nil || len(q.members) != 1 {
		return ""
	}
	if m := q.members[0]; m.request.ID == id && !m.gone {
		return m.request.Name
	}
	return ""
}
