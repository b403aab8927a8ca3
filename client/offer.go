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
	o, ok := conn.(transport.Offerer)
	c.offered = ok && c.opts.Token == nil && c.opts.Skip == nil && c.opts.Sequence == nil
	if c.offered {
		o.Offer(c.take)
	}
}

// take is what the connection calls. It waits neither for space nor for the run loop.
func (c *connection) take(m *transport.Message) bool {
	c.taking.Lock()
	defer c.taking.Unlock()
	if c.solo || m.Kind != decode.Data || m.Gap != nil || !c.window.fits(len(m.Data)) {
		return false
	}
	c.now = time.Now()
	c.event(m)
	c.publish()
	return true
}

// refuse ends taking: from then on the run loop has its fields to itself again.
func (c *connection) refuse() {
	c.taking.Lock()
	c.solo = true
	c.taking.Unlock()
}

// bring takes what was read, after a wait or not, to the window. The position does not
// change before there is space: a connection that ends until then brings the message again,
// but perhaps not the notice of a loss that came with it.
func (c *connection) bring(m *transport.Message, waited bool) error {
	for ; !c.admit(m, waited); waited = false {
		if err := c.waitForSpace(len(m.Data)); err != nil {
			return err
		}
	}
	return nil
}

// admit takes a message to the window if there is space. It publishes what came at once
// when no more of it is at hand.
func (c *connection) admit(m *transport.Message, waited bool) bool {
	if c.offered {
		c.taking.Lock()
		defer c.taking.Unlock()
	}
	if waited {
		c.now = time.Now()
	}
	if m.Gap != nil {
		g := *m.Gap
		if g.From == "" {
			g.From = c.token
		}
		c.lose(g)
		m.Gap = nil // it is reported once, however long the message waits
	}
	c.solo = m.Kind == decode.Data && !c.window.fits(len(m.Data))
	if c.solo {
		return false
	}
	c.receive(m)
	if !m.More || c.window.unseen >= handOver {
		c.publish()
	}
	return true
}
