package webhook

import (
	"slices"
	"strconv"
	"sync"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A delivery is the content of one verified request, until it is settled. It outlives a request
// that is answered at the deadline; the requests that repeat it wait for the same outcome.
type delivery struct {
	listener *listener
	ledger   *ledger
	key      deliveryKey
	items    []deliveryKey // of the events of a batch; nil if they are not remembered
	unique   bool          // other deliveries can have the same events

	mu       sync.Mutex          // held for a few instructions, never during a call of Deliver
	messages []transport.Message // the events to deliver, in order
	fates    []fate              // of each message
	accepted int                 // messages that Deliver has accepted
	settled  int                 // messages that have a fate
	offering bool                // a request calls Deliver, or is about to
	again    bool                // an event was settled meanwhile
	handed   bool                // Deliver has accepted an event
	refused  bool                // an event was refused
	waiting  []*exchange         // requests that wait for the outcome
	over     bool                // the outcome is known
	err      error               // the outcome; nil: acknowledged

	oneMessage [1]transport.Message // memory for one event and one request
	oneFate    [1]fate
	oneWaiting [1]*exchange
}

// fate is the outcome of an event.
type fate uint8

const (
	open fate = iota
	acknowledged
	refused
)

// newDelivery returns a delivery that its request, x, offers first, and waits for.
func newDelivery(l *listener, ledger *ledger, r *provider.Delivery, x *exchange) *delivery {
	d := &delivery{listener: l, ledger: ledger, key: ledger.key(r, x.req.Body), offering: true}
	d.items, d.unique = ledger.items(d.key, r), r.Unique
	d.waiting = append(d.oneWaiting[:0], x)
	return d
}

// fill sets the messages of the delivery: the events of r, except those that are in known.
func (d *delivery) fill(r *provider.Delivery, meta *transport.Delivery, attempt int, known []bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages, d.fates = d.oneMessage[:0], d.oneFate[:0]
	if len(r.Events) > 1 {
		d.messages, d.fates = make([]transport.Message, 0, len(r.Events)), make([]fate, 0, len(r.Events))
	}
	items := d.items[:0]
	for i := range r.Events {
		if known != nil && known[i] {
			continue
		}
		e := &r.Events[i]
		m := transport.Message{
			Kind: decode.KindData, Data: e.Data[:len(e.Data):len(e.Data)], Type: e.Type, ID: e.ID,
			Attempt: attempt, Delivery: meta,
		}
		if m.ID == "" && r.ID != "" {
			m.ID = r.ID
			if len(r.Events) > 1 {
				m.ID += "." + strconv.Itoa(i)
			}
		}
		if n := len(d.messages); d.listener.hook.Ack == AckAfterHandling {
			m.Settle = func(err error) { d.settle(n, err) }
		}
		d.messages, d.fates = append(d.messages, m), append(d.fates, open)
		if d.items != nil {
			items = append(items, d.items[i])
		}
	}
	d.items = items
}

// offer hands the events that were not accepted to the subscription, unless another request does.
// An event that is settled meanwhile may have made space for the next.
func (d *delivery) offer() {
	for d.startOffer() {
		d.hand()
	}
}

// startOffer reports whether the caller must call hand.
func (d *delivery) startOffer() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || d.offering || !d.again || d.accepted == len(d.messages) {
		return false
	}
	d.offering = true
	return true
}

// hand calls Deliver with the events that were not accepted. Only one request does at a time. If
// Deliver panics, it is not known which events it has accepted: the sender must repeat the
// delivery.
func (d *delivery) hand() {
	rest, ok := d.rest()
	if !ok {
		return
	}
	accepted, err := 0, errPanic
	defer func() { d.handedOver(accepted, err) }()
	accepted, err = d.listener.deliver(rest)
}

// rest returns the events that were not accepted, or false if the delivery is over.
func (d *delivery) rest() ([]transport.Message, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.again = false
	return d.messages[d.accepted:], !d.over
}

// handedOver records the result of Deliver.
func (d *delivery) handedOver(n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offering = false
	d.handed = d.handed || n > 0 || err == errPanic
	clear(d.messages[d.accepted : d.accepted+n]) // they belong to the consumer
	d.accepted += n
	if d.listener.hook.Ack == AckOnEnqueue {
		for i := d.settled; i < d.accepted; i++ {
			d.fates[i] = acknowledged
		}
		d.settled = d.accepted
	}
	switch {
	case d.over:
	case err == errPanic:
		d.finish(err)
	case d.accepted == len(d.messages):
		d.complete()
	case err != transport.ErrFull:
		d.finish(reason(err))
	case !d.canWait():
		d.finish(errFull)
	}
}

// canWait reports whether there can be space for the rest before the requests that wait are
// answered. The caller holds d.mu.
func (d *delivery) canWait() bool {
	if d.listener.hook.Ack == AckOnEnqueue {
		return d.accepted > 0 && len(d.waiting) > 0
	}
	return d.settled < d.accepted || d.again && len(d.waiting) > 0
}

// polls reports whether the rest of the delivery must be offered again although nothing reports
// that there is space.
func (d *delivery) polls() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.listener.hook.Ack == AckOnEnqueue && !d.over && !d.offering && d.accepted < len(d.messages)
}

// poll makes the next offer try again.
func (d *delivery) poll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.again = true
}

// settle is Message.Settle of message i.
func (d *delivery) settle(i int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fates[i] != open {
		return
	}
	d.fates[i], d.again, d.handed = acknowledged, true, true
	if err != nil {
		d.fates[i], d.refused = refused, true
	} else if d.over {
		d.remember(i)
	}
	d.settled++
	switch {
	case d.settled == len(d.messages):
		d.complete()
	case d.offering || d.over:
	case len(d.waiting) > 0:
		d.waiting[0].wake() // to offer the rest
	case d.settled == d.accepted: // no request offers the rest
		d.finish(errFull)
	}
}

// complete ends a delivery if every event is settled. It is remembered even if it was released
// before, because the sender is going to repeat it. The caller holds d.mu.
func (d *delivery) complete() {
	switch {
	case d.settled < len(d.messages):
	case d.refused:
		d.finish(errNacked)
	default:
		d.ledger.remember(d.key)
		d.finish(nil)
	}
}

// join adds a request that waits for the outcome.
func (d *delivery) join(x *exchange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over {
		d.waiting = append(d.waiting, x)
		d.again = true
	}
}

// outcome reports whether the outcome of the delivery is known, and returns it. Otherwise, x is woken
// when it is.
func (d *delivery) outcome(x *exchange) (over bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over {
		x.prepareWait(d.again)
	}
	return d.over, d.err
}

// withdraw removes a request that does not wait any longer because of reason. It returns the outcome,
// which is reason if it is not known. Another request that waits then offers the rest.
func (d *delivery) withdraw(x *exchange, reason error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return d.err
	}
	d.waiting = slices.DeleteFunc(d.waiting, func(w *exchange) bool { return w == x })
	switch {
	case d.offering || d.accepted == len(d.messages):
	case len(d.waiting) > 0:
		d.again = true
		d.waiting[0].wake()
	case d.settled == d.accepted:
		d.finish(errFull)
	}
	return reason
}

// refuse ends the delivery, whatever the consumer does with it.
func (d *delivery) refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finish(err)
}

// cut refuses the delivery if the consumer has not received every event of it.
func (d *delivery) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.offering && d.accepted < len(d.messages) {
		d.finish(errDraining)
	}
}

// finish ends the delivery: the requests that wait get err. If it is not acknowledged, or another one
// can have the same events, the acknowledged events of a batch are remembered. The caller holds
// d.mu.
func (d *delivery) finish(err error) {
	if d.over {
		return
	}
	d.over, d.err = true, err
	if err != nil || d.unique {
		for i, fate := range d.fates {
			if fate == acknowledged {
				d.remember(i)
			}
		}
	}
	d.ledger.release(d, err != nil && d.handed)
	d.listener.remove(d)
	for i, x := range d.waiting {
		x.wake()
		d.waiting[i] = nil
	}
}

// remember records that an event of a batch was acknowledged. The caller holds d.mu.
func (d *delivery) remember(i int) {
	if len(d.items) > 0 {
		d.ledger.remember(d.items[i])
	}
}
