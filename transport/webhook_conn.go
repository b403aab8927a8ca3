package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// webhookConn is a Webhook that takes deliveries in. Webhook.mu guards what is not
// marked otherwise.
type webhookConn struct {
	hook   *Webhook
	routes map[string]*route // by path; "" is Webhook.Provider
	server *webhookServer    // nil in a mux
	stop   func() bool       // of the watch on the context

	taker   func(*Message) bool // of Offer; nil without one
	places  []delivery          // for those to come
	queue   ring
	current *delivery // whose events Read is bringing
	handed  *delivery // whose last event Read has brought and whose keeping is to be confirmed (AckQueued)
	live    deliveryList
	reader  bool          // Read waits for wake
	wake    chan struct{} // one token
	err     error         // what Read returns from now on
	idle    chan struct{} // closed when err is set and live is empty
	closed  chan struct{} // closed when Close is through
	drained bool          // nothing more is taken in
	full    atomic.Bool   // queue is; read without the lock
	over    atomic.Bool   // drained, or err is set; read without the lock
	closing atomic.Bool   // Close was called
}

// The bounds of Close, together below a second: for what the consumer has in hand, for
// answers on their way, and for connections that are about to be closed.
const (
	settleGrace = 200 * time.Millisecond
	answerGrace = 200 * time.Millisecond
	lingerGrace = 500 * time.Millisecond
)

// bufferBytes is how many bytes of bodies may wait for Read, unless there is only one.
const bufferBytes = 8 << 20

// Open makes the Webhook accept deliveries, with its own listener if Addr is set.
// The token is ignored: what is missing, only the sender can repeat. When ctx ends, so does
// the Conn. Open fails while another Conn is open, and when it cannot listen. After Drain
// the Conn accepts nothing and its Read returns ErrEnd.
func (w *Webhook) Open(ctx context.Context, _ string) (Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := w.Validate(); err != nil {
		return nil, &final{fmt.Errorf("transport: %w", err)}
	}
	c := &webhookConn{
		hook: w, queue: newRing(w.buffer()),
		wake: make(chan struct{}, 1), idle: make(chan struct{}), closed: make(chan struct{}),
	}
	if !w.install(c) {
		return nil, &final{errors.New("transport: this Webhook has an open Conn already")}
	}
	if err := c.listen(ctx); err != nil {
		c.shut(err) // a mux may have brought requests meanwhile
		return nil, w.orEnd(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c.stop = context.AfterFunc(ctx, func() { c.shut(context.Cause(ctx)) })
	return c, nil
}

// install makes c the Conn that is open, unless there is one. It does so in one step with
// the look at drained, so that Drain finds c or c finds drained.
func (w *Webhook) install(c *webhookConn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.routes = w.routes()
	if w.drained {
		c.drain()
	}
	return w.conn.CompareAndSwap(nil, c)
}

// orEnd returns ErrEnd instead of err after Drain: nothing is left to listen for.
func (w *Webhook) orEnd(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained {
		return ErrEnd
	}
	return err
}

func (w *Webhook) buffer() int {
	if w.Buffer == 0 {
		return defaultBuffer
	}
	return w.Buffer
}

// Read returns the next event. See Conn.
func (c *webhookConn) Read() (Message, error) {
	for {
		m, ok, err := c.next()
		if ok || err != nil {
			return m, err
		}
		<-c.wake
	}
}

// next returns the next event if there is one.
func (c *webhookConn) next() (m Message, ok bool, err error) {
	c.hook.mu.Lock()
	defer c.hook.mu.Unlock()
	if d := c.handed; d != nil {
		c.handed = nil
		d.finish()
	}
	if c.err != nil {
		return Message{}, false, c.err
	}
	if c.current == nil {
		if c.current = c.queue.pop(); c.current == nil {
			c.reader = true
			return Message{}, false, c.complete()
		}
		c.full.Store(false)
	}
	c.reader = false
	d := c.current
	m = d.take()
	if !d.hasMore() {
		c.current = nil
		if c.hook.Ack == AckQueued {
			c.handed = d
		}
	}
	m.More = c.current != nil || c.queue.n > 0
	return m, true, nil
}

// Offer makes take the way of a delivery when nothing waits for Read. See Offerer.
func (c *webhookConn) Offer(take func(*Message) bool) {
	c.hook.mu.Lock()
	defer c.hook.mu.Unlock()
	c.taker = take
}

// offers tells whether a delivery is to be offered before it is enqueued. A batch is not:
// it may not fit as a whole.
func (c *webhookConn) offers(d *delivery) bool {
	return c.taker != nil && c.err == nil && !c.drained && c.current == nil && c.queue.n == 0 && len(d.events) == 1
}

// settleOffer goes on with a delivery whose event has been offered.
func (c *webhookConn) settleOffer(d *delivery, m *Message, taken bool) {
	c.hook.mu.Lock()
	defer c.hook.mu.Unlock()
	switch {
	case taken && c.hook.Ack == AckQueued:
		d.finish()
	case !taken && !d.over:
		d.putBack(m)
		if err := c.enqueue(d); err != nil {
			d.leave(err)
		}
	}
}

// enqueue hands a delivery to Read. It returns why if it cannot.
func (c *webhookConn) enqueue(d *delivery) error {
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

// admit makes a delivery one of those in hand.
func (c *webhookConn) admit(d *delivery) {
	c.places = c.places[1:]
	c.live.add(d)
}

// wakeReader lets Read have another look. Its caller holds Webhook.mu.
func (c *webhookConn) wakeReader() {
	c.reader = false
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close ends the Conn. Deliveries that the consumer has in hand have 200 ms left to be
// acknowledged; the rest is answered 503 at once, and so is what comes after. A listener of
// its own then has as long to bring the answers out.
func (c *webhookConn) Close() error {
	c.shut(errClosed)
	return nil
}

func (c *webhookConn) shut(cause error) {
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

// Lingers returns true: until the consumer has handled what it has, senders are answered
// that nothing more is accepted. See Conn.
func (c *webhookConn) Lingers() bool { return true }

// drain refuses what comes from now on. Read goes on until all the rest is settled. Its
// caller holds Webhook.mu.
func (c *webhookConn) drain() {
	c.drained = true
	c.over.Store(true)
	c.wakeReader()
}

// complete ends a Conn that is drained with ErrEnd. Its caller holds Webhook.mu.
func (c *webhookConn) complete() error {
	if !c.drained || c.live.first != nil {
		return nil
	}
	c.err = ErrEnd
	c.checkIdle()
	return c.err
}

// end lets Read return cause and refuses what the consumer has not begun with. The first
// cause counts.
func (c *webhookConn) end(cause error) {
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
		if d.hasMore() || c.hook.Ack == AckQueued {
			d.release()
		}
	})
	c.checkIdle()
}

// checkIdle lets shut go on when there is nothing to wait for, and a Read that is to end.
func (c *webhookConn) checkIdle() {
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

// refuses returns why no delivery can be taken in at the moment, nil if one can.
func (c *webhookConn) refuses() error {
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

// pop returns nil if there is none.
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

// deliveryList holds the deliveries that are not yet settled.
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

// each calls f for each, which may remove it.
func (l *deliveryList) each(f func(*delivery)) {
	for d := l.first; d != nil; {
		next := d.after
		f(d)
		d = next
	}
}

// A route is one provider and what is remembered of it.
type route struct {
	ledger  *ledger
	url     string   // the beginning of the public URL
	private []string // headers that prove who the sender is
}

// routes returns the route of each path. The caller holds w.mu.
func (w *Webhook) routes() map[string]*route {
	if w.ledgers == nil {
		w.ledgers = make(map[string]*ledger)
	}
	routes := make(map[string]*route)
	if w.Provider != nil {
		routes[""] = &route{w.ledger(""), w.URL, w.Provider.ProofHeaders()}
	}
	for path, p := range w.Providers {
		routes[path] = &route{w.ledger(path), w.URL, p.ProofHeaders()}
		if w.URL != "" {
			routes[path].url = strings.TrimSuffix(w.URL, "/") + (&url.URL{Path: path}).EscapedPath()
		}
	}
	return routes
}

// ledger returns the one of a path, which may be there from a Conn before.
func (w *Webhook) ledger(path string) *ledger {
	l := w.ledgers[path]
	if l == nil {
		most := w.Dedupe
		if most == 0 {
			most = defaultDedupe
		}
		if w.DedupeFor < 0 {
			most = -1
		}
		l = newLedger(most, orDefault(w.DedupeFor, defaultDedupeFor))
		w.ledgers[path] = l
	}
	return l
}

func (c *webhookConn) route(r *http.Request) *route {
	if c.hook.Provider != nil {
		return c.routes[""]
	}
	return c.routes[r.URL.Path]
}

// publicURL returns the URL of a request as its sender knows it.
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
