package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// conn is the Conn of a Receiver. Receiver.mu guards the fields unless they are marked
// otherwise.
type conn struct {
	hook   *Receiver
	routes map[string]*route // by path; "" is Receiver.Provider
	server *server           // nil in a mux
	stop   func() bool       // stops watching the context

	places  []delivery // memory for the next deliveries
	queue   ring
	current *delivery // whose events Read is returning
	handed  *delivery // whose last event Read has returned and the next Read confirms (AckOnEnqueue)
	live    deliveryList
	reader  bool          // Read waits for wake
	wake    chan struct{} // one token
	err     error         // returned by Read from now on
	idle    chan struct{} // closed when err is set and live is empty
	closed  chan struct{} // closed when shut has finished
	drained bool          // no further delivery is accepted
	full    atomic.Bool   // the queue is full; read without the lock
	over    atomic.Bool   // drained, or err is set; read without the lock
	closing atomic.Bool   // Close was called
}

// The limits of Close, together less than a second: for events that the consumer is handling, for
// answers being sent, and for connections being closed.
const (
	settleGrace = 200 * time.Millisecond
	answerGrace = 200 * time.Millisecond
	lingerGrace = 500 * time.Millisecond
)

// bufferBytes is the maximum size of all bodies that wait for Read, unless there is only one.
const bufferBytes = 8 << 20

// Open makes the Receiver accept deliveries, and starts the built-in server if Addr or Listener is
// set. The token is ignored: only the sender can repeat what was missed. When ctx ends, so does
// the Conn. Open fails while another Conn is open, and if it cannot listen. After Drain the Conn
// accepts nothing and its Read returns ErrComplete.
func (w *Receiver) Open(ctx context.Context, _ string) (*transport.Session, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := w.Validate(); err != nil {
		return nil, &final{fmt.Errorf("webhook: %w", err)}
	}
	c := &conn{
		hook: w, queue: newRing(w.buffer()),
		wake: make(chan struct{}, 1), idle: make(chan struct{}), closed: make(chan struct{}),
	}
	if !w.install(c) {
		return nil, &final{errors.New("webhook: Receiver has an open Conn: close it first")}
	}
	if err := c.listen(ctx); err != nil {
		c.shut(err) // requests may have arrived through a mux meanwhile
		return nil, w.orEnd(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c.stop = context.AfterFunc(ctx, func() { c.shut(context.Cause(ctx)) })
	return &transport.Session{Conn: c}, nil
}

// install makes c the open Conn unless there is one. It holds the lock while it checks drained, so
// that either Drain finds c or install finds drained.
func (w *Receiver) install(c *conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.routes = w.routes()
	if w.drained {
		c.drain()
	}
	return w.conn.CompareAndSwap(nil, c)
}

// orEnd returns ErrComplete instead of err after Drain, when there is nothing left to receive.
func (w *Receiver) orEnd(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained {
		return transport.ErrComplete
	}
	return err
}

func (w *Receiver) buffer() int {
	if w.Buffer == 0 {
		return defaultBuffer
	}
	return w.Buffer
}

// Read returns the next event. See Conn.
func (c *conn) Read(m *transport.Message) error {
	for {
		next, ok, err := c.next()
		if ok || err != nil {
			*m = next
			return err
		}
		<-c.wake
	}
}

// next returns the next event, if one is queued.
func (c *conn) next() (m transport.Message, ok bool, err error) {
	c.hook.mu.Lock()
	defer c.hook.mu.Unlock()
	if d := c.handed; d != nil {
		c.handed = nil
		d.finish()
	}
	if c.err != nil {
		return transport.Message{}, false, c.err
	}
	if c.current == nil {
		if c.current = c.queue.pop(); c.current == nil {
			c.reader = true
			return transport.Message{}, false, c.complete()
		}
		c.full.Store(false)
	}
	c.reader = false
	d := c.current
	m = d.take()
	if !d.hasMore() {
		c.current = nil
		if c.hook.Ack == AckOnEnqueue {
			c.handed = d
		}
	}
	m.More = c.current != nil || c.queue.n > 0
	return m, true, nil
}

// enqueue appends a delivery to the queue of Read, or returns the reason for a refusal.
func (c *conn) enqueue(d *delivery) error {
	if c.err != nil || c.drained {
		return errDraining
	}
	if !c.queue.push(d) {
		c.full.Store(true)
		return errFull
	}
	c.full.Store(!c.queue.fits(1))
	if c.reader {
		c.wakeReader()
	}
	return nil
}

// admit adds a delivery to those that are not settled.
func (c *conn) admit(d *delivery) {
	c.places = c.places[1:]
	c.live.add(d)
}

// wakeReader makes a waiting Read check again. The caller holds Receiver.mu.
func (c *conn) wakeReader() {
	c.reader = false
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close ends the Conn. Deliveries that the consumer is handling have 200 ms left to be
// acknowledged. All others, and new requests, are answered with Answers.Busy at once. The built-in
// server then has another 200 ms to send the answers and half a second to close connections.
func (c *conn) Close() error {
	c.shut(errClosed)
	return nil
}

func (c *conn) shut(cause error) {
	c.end(cause)
	if c.closing.Swap(true) {
		<-c.closed
		return
	}
	defer close(c.closed)
	grace := time.NewTimer(settleGrace)
	defer grace.Stop()
	select {
	case <-c.idle:
	case <-grace.C:
	}
	c.hook.mu.Lock()
	c.live.each((*delivery).release)
	stop := c.stop
	c.hook.mu.Unlock()
	if stop != nil {
		stop()
	}
	c.server.shut()
	c.hook.conn.Store(nil)
}

// Lingers returns true: until the consumer has handled the remaining events, the Receiver answers
// that it accepts no more. See Lingerer.
func (c *conn) Lingers() bool { return true }

// drain refuses deliveries from now on. Read continues until the accepted ones are settled. The
// caller holds Receiver.mu.
func (c *conn) drain() {
	c.drained = true
	c.over.Store(true)
	c.wakeReader()
}

// complete ends a drained Conn with ErrComplete once all is settled. The caller holds Receiver.mu.
func (c *conn) complete() error {
	if !c.drained || c.live.first != nil {
		return nil
	}
	c.err = transport.ErrComplete
	c.checkIdle()
	return c.err
}

// end makes Read return cause and refuses deliveries that the consumer has not received in full.
// The first cause counts.
func (c *conn) end(cause error) {
	c.hook.mu.Lock()
	defer c.hook.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = cause
	c.over.Store(true)
	c.wakeReader()
	c.handed, c.current = nil, nil
	c.queue = ring{}
	c.live.each(func(d *delivery) {
		if d.hasMore() || c.hook.Ack == AckOnEnqueue {
			d.release()
		}
	})
	c.checkIdle()
}

// checkIdle wakes shut, and the last Read of a drained Conn, once no delivery is unsettled. The
// caller holds Receiver.mu.
func (c *conn) checkIdle() {
	if c.live.first != nil {
		return
	}
	if c.drained {
		c.wakeReader()
	}
	if c.err == nil {
		return
	}
	select {
	case <-c.idle:
	default:
		close(c.idle)
	}
}

// refuses returns why no delivery can be accepted now, or nil if one can.
func (c *conn) refuses() error {
	switch {
	case c == nil:
		return errNoConn
	case c.over.Load():
		return errDraining
	case c.full.Load():
		return errFull
	}
	return nil
}

// ring is the queue of deliveries that wait for Read.
type ring struct {
	slots    []*delivery
	first, n int
	bytes    int
}

func newRing(size int) ring { return ring{slots: make([]*delivery, size)} }

func (r *ring) fits(size int) bool {
	return r.n == 0 || r.n < len(r.slots) && r.bytes+size <= bufferBytes
}

func (r *ring) push(d *delivery) bool {
	if !r.fits(d.size) {
		return false
	}
	r.slots[(r.first+r.n)%len(r.slots)] = d
	r.n++
	r.bytes += d.size
	return true
}

// pop returns nil if the ring is empty.
func (r *ring) pop() *delivery {
	if r.n == 0 {
		return nil
	}
	d := r.slots[r.first]
	r.slots[r.first] = nil
	r.first = (r.first + 1) % len(r.slots)
	r.n--
	r.bytes -= d.size
	return d
}

// deliveryList is a linked list of the deliveries that are not yet settled.
type deliveryList struct{ first *delivery }

func (l *deliveryList) add(d *delivery) {
	if d.after = l.first; d.after != nil {
		d.after.before = d
	}
	l.first = d
}

func (l *deliveryList) remove(d *delivery) {
	if d.before != nil {
		d.before.after = d.after
	} else {
		l.first = d.after
	}
	if d.after != nil {
		d.after.before = d.before
	}
	d.before, d.after = nil, nil
}

// each calls f for every delivery. f may remove it.
func (l *deliveryList) each(f func(*delivery)) {
	for d := l.first; d != nil; {
		next := d.after
		f(d)
		d = next
	}
}

// A route is what the requests of one path need.
type route struct {
	ledger  *ledger
	url     string   // public URL without query; empty if unknown
	private []string // headers that authenticate the sender
}

// routes returns the routes by path. The caller holds w.mu.
func (w *Receiver) routes() map[string]*route {
	if w.ledgers == nil {
		w.ledgers = make(map[string]*ledger)
	}
	routes := make(map[string]*route)
	if w.Provider != nil {
		routes[""] = &route{w.ledger(""), w.URL, w.Provider.CredentialHeaders()}
	}
	for path, p := range w.Providers {
		routes[path] = &route{w.ledger(path), w.URL, p.CredentialHeaders()}
		if w.URL != "" {
			routes[path].url = strings.TrimSuffix(w.URL, "/") + (&url.URL{Path: path}).EscapedPath()
		}
	}
	return routes
}

// ledger returns the ledger of a path. A previous Conn may have created it.
func (w *Receiver) ledger(path string) *ledger {
	l := w.ledgers[path]
	if l == nil {
		most := w.Dedupe
		if most == 0 {
			most = defaultDedupe
		}
		if w.DedupeFor < 0 {
			most = -1
		}
		l = newLedger(most, cmp.Or(max(w.DedupeFor, 0), defaultDedupeFor))
		w.ledgers[path] = l
	}
	return l
}

func (c *conn) route(r *http.Request) *route {
	if c.hook.Provider != nil {
		return c.routes[""]
	}
	return c.routes[r.URL.Path]
}

// publicURL returns the URL of a request as the sender knows it.
func (t *route) publicURL(r *http.Request) string {
	switch {
	case t.url == "" && r.RequestURI != "":
		return r.RequestURI
	case t.url == "":
		return r.URL.RequestURI()
	case r.URL.RawQuery == "":
		return t.url
	}
	return t.url + "?" + r.URL.RawQuery
}
