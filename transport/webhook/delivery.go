package webhook

import (
	"slices"
	"strconv"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A delivery is the content of one verified request, until it is settled. It outlives a request
// that is answered at the deadline. Receiver.mu guards it.
type delivery struct {
	conn   *conn
	ledger *ledger
	key    deliveryKey
	items  []deliveryKey // of the events of a batch; nil if they are not remembered
	id     string
	events []provider.Event
	one    [1]provider.Event // storage of a single event
	header transport.Header
	size   int // of the body

	attempt int    // attempts so far, including this one, or the sender's count if that is higher
	handed  bool   // the consumer has received an event of it
	taken   int    // events that were returned or skipped
	pending int    // events that are not settled
	fates   []fate // of each event of a batch; nil for a single one
	refused bool   // at least one event was refused
	over    bool   // leave was called: the waiting exchanges have a verdict

	waiting       *exchange // the exchanges to notify, linked by exchange.next
	before, after *delivery // in deliveryList
}

// fate is the outcome of an event.
type fate uint8

const (
	open fate = iota
	acknowledged
	refused
)

// place copies a delivery to the next place of an allocation that several share. The place remains
// free until admit.
func (c *conn) place(made *delivery) *delivery {
	if len(c.places) == 0 {
		c.places = make([]delivery, placesAtOnce)
	}
	d := &c.places[0]
	*d = *made
	d.conn = c
	if len(d.events) == 1 {
		d.one[0] = d.events[0] // events[0] may be in the exchange, which is reused
		d.events = d.one[:]
	}
	if d.pending > 1 {
		d.fates = make([]fate, d.pending)
	}
	return d
}

// placesAtOnce is small, so that a delivery that is held for long retains little memory.
const placesAtOnce = 16

// passOver skips the events of a batch that were acknowledged in an earlier attempt. It reports
// whether any event is left.
func (d *delivery) passOver(now time.Time) bool {
	for i, item := range d.items {
		if d.ledger.has(item, now) {
			d.fates[i] = acknowledged
			d.pending--
		}
	}
	d.skip()
	return d.pending > 0
}

func (d *delivery) skip() {
	for d.fates != nil && d.taken < len(d.fates) && d.fates[d.taken] == acknowledged {
		d.taken++
	}
}

func (d *delivery) hasMore() bool { return d.taken < len(d.events) }

// take returns the next event as a message.
func (d *delivery) take() transport.Message {
	i := d.taken
	d.taken++
	d.handed = true
	d.skip()
	e := &d.events[i]
	m := transport.Message{Kind: decode.KindData, Data: e.Data[:len(e.Data):len(e.Data)], Type: e.Type, ID: e.ID, Header: d.header, Attempt: d.attempt}
	if d.hasMore() {
		d.header = slices.Clone(d.header)
	} else {
		d.header = nil
	}
	if m.ID == "" && d.id != "" {
		m.ID = d.id
		if len(d.events) > 1 {
			m.ID += "." + strconv.Itoa(i)
		}
	}
	e.Data = nil // now owned by the receiver
	if d.conn.hook.Ack == AckAfterHandling {
		m.Settle = func(err error) { d.settle(i, err) }
	}
	return m
}

// settle is Message.Settle of event i.
func (d *delivery) settle(i int, err error) {
	d.conn.hook.mu.Lock()
	defer d.conn.hook.mu.Unlock()
	if d.pending == 0 || d.fates != nil && d.fates[i] != open {
		return
	}
	fate := acknowledged
	if err != nil {
		fate, d.refused = refused, true
	}
	if d.fates != nil {
		d.fates[i] = fate
	}
	if d.over && fate == acknowledged {
		d.rememberEvent(i, time.Now())
	}
	if d.pending--; d.pending == 0 {
		d.finish()
	}
}

// finish is called when every event is settled, or queued (AckOnEnqueue). A delivery is remembered
// even if it was released before: the sender is going to repeat it.
func (d *delivery) finish() {
	d.pending = 0
	if d.refused {
		d.leave(errNacked)
		return
	}
	d.ledger.remember(d.key, time.Now())
	d.leave(nil)
}

// release refuses the delivery because the Conn ends.
func (d *delivery) release() { d.leave(errDraining) }

// leave removes the delivery from the Conn and the ledger, and notifies the exchanges that wait for
// it. err is nil if it is acknowledged; otherwise the acknowledged events of a batch are
// remembered.
func (d *delivery) leave(err error) {
	if d.over {
		return
	}
	d.over = true
	d.conn.live.remove(d)
	d.ledger.free(d)
	if err != nil {
		if d.handed {
			d.ledger.retry(d.key)
		}
		now := time.Now()
		for i, fate := range d.fates {
			if fate == acknowledged {
				d.rememberEvent(i, now)
			}
		}
	}
	d.tell(err)
	d.conn.checkIdle()
}

func (d *delivery) rememberEvent(i int, now time.Time) {
	if d.items != nil {
		d.ledger.remember(d.items[i], now)
	}
}

// tell notifies the exchanges that wait for the delivery.
func (d *delivery) tell(err error) {
	for x := d.waiting; x != nil; {
		next := x.next
		x.next, x.waits = nil, nil
		x.tell(err)
		x = next
	}
	d.waiting = nil
}

// await adds x to the exchanges that are notified.
func (d *delivery) await(x *exchange) {
	x.waits, x.next = d, d.waiting
	d.waiting = x
}

// desert removes x from the exchanges that are notified.
func (d *delivery) desert(x *exchange) {
	for p := &d.waiting; *p != nil; p = &(*p).next {
		if *p == x {
			*p, x.next, x.waits = x.next, nil, nil
			return
		}
	}
}
