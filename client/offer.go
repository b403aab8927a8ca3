package client

import (
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// offer lets a push transport move messages to the window from its own goroutines, unless Token,
// Skip or Sequence must run on the subscription's. The run loop reads the messages that take
// rejects.
func (c *connection) offer(conn transport.Conn) {
	o, ok := conn.(transport.Offerer)
	c.offered = ok && c.opts.Token == nil && c.opts.Skip == nil && c.opts.Sequence == nil
	if c.offered {
		o.Offer(c.take)
	}
}

// take moves a message to the window and reports whether it did. The connection calls it, from any
// goroutine. It waits neither for space nor for the run loop.
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

// refuse disables take: from then on, only the run loop uses its fields.
func (c *connection) refuse() {
	c.taking.Lock()
	c.solo = true
	c.taking.Unlock()
}

// bring moves a message to the window, and waits for space if necessary. waited reports whether the
// read of m had to wait. The position does not change before there is space: if the connection ends
// until then, the next one delivers the message again, but perhaps without its Gap.
func (c *connection) bring(m *transport.Message, waited bool) error {
	for ; !c.admit(m, waited); waited = false {
		if err := c.waitForSpace(len(m.Data)); err != nil {
			return err
		}
	}
	return nil
}

// admit moves a message to the window if there is space, and reports whether there was. It
// publishes if no more messages are available without waiting.
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
