package client

import (
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// offer lets the connection bring messages to the window on goroutines of its own, if it
// has any, and no function of the user's has to run on the subscription's for each. The run
// loop still reads what could not be brought like that.
func (c *connection) offer(conn transport.Conn) {
	o, ok := conn.(interface {
		Offer(take func(*transport.Message) bool)
	})
	c.offered = ok && c.opts.Token == nil && c.opts.Skip == nil && c.opts.Sequence == nil
	if c.offered {
		o.Offer(c.take)
	}
}

// take is what the connection calls. It does not wait: neither for space, nor for the run
// loop, which may be waiting for it.
func (c *connection) take(m *transport.Message) bool {
	if !c.taking.TryLock() {
		return false
	}
	defer c.taking.Unlock()
	if c.closed || m.Kind != decode.Data || m.Gap != nil || !c.window.fits(len(m.Data)) {
		return false
	}
	c.now = time.Now()
	c.event(m)
	c.publish()
	return true
}

// refuse ends taking: from then on what the run loop keeps is its own again.
func (c *connection) refuse() {
	c.taking.Lock()
	c.closed = true
	c.taking.Unlock()
}

// bring takes what was read, after a wait or not, to the window. It hands over what came
// at once when no more of it is at hand.
func (c *connection) bring(m *transport.Message, waited bool) error {
	if c.offered {
		c.taking.Lock()
		defer c.taking.Unlock()
	}
	if waited {
		c.now = time.Now()
	}
	if err := c.receive(m); err != nil {
		return err
	}
	if !m.More || c.window.unseen >= handOver {
		c.publish()
	}
	return nil
}
