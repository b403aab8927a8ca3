package client

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// connection is one attempt to connect and, if it succeeds, the reads that follow.
type connection struct {
	*run
	attempt int
	ctx     context.Context // shadows the subscription's: Reconnect ends this one only
	cancel  context.CancelCauseFunc

	conn     *transport.Session
	handover *handover // to the successor, if conn announces its end
	follows  bool      // opened while its predecessor was still read
	release  func()    // releases the handover that opened it

	resuming bool          // a token was presented
	behind   atomic.Int64  // when the consumer last blocked the reader, UNIX ns; MaxInt64: it does now
	took     time.Duration // to connect
	begun    time.Time     // when Open returned
	opened   bool
	lingers  bool   // it ended with ErrEnd, and conn is closed by linger
	events   int    // new events received
	origin   string // the position when it was opened
	pace     pace
	awaited  bool          // the sender waits for the outcome of the last event
	moved    bool          // the position moved without an event since the last publish
	uptime   time.Duration // from open to end
	err      error         // why it ended
}

// handOver is the maximum number of events published at once while more can be read without
// waiting, so that the consumer starts before a long read is complete.
const handOver = 256

// newConnection returns a connection that must still be opened.
func (r *run) newConnection(ctx context.Context, attempt int) *connection {
	c := &connection{run: r, attempt: attempt}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// play opens the connection, reads until it ends, and returns the reason.
func (c *connection) play() error {
	defer func() {
		if !c.lingers {
			c.cancel(nil)
		}
	}()
	if c.release != nil {
		defer c.release()
	}
	select {
	case <-c.redial: // it connects anyway
	default:
	}
	c.drop.Store(&c.cancel)
	c.origin = c.token
	opened := time.Now()
	if !c.follows {
		c.stats.set(StateConnecting)
		if err := c.open(c.token); err != nil {
			return c.reason(err)
		}
		opened = time.Now()
	}
	c.live()
	c.awaitExpiry()
	err := c.read(c.conn)
	c.uptime = time.Since(opened)
	if c.lingers {
		return err // the feed is complete, and its connection stays open
	}
	return c.reason(err)
}

// open connects.
func (c *connection) open(token string) (err error) {
	c.resuming = token != "" && !c.pushed
	c.dialing()
	start := time.Now()
	c.conn, err = c.transport.Open(c.ctx, token)
	if err == nil {
		c.begun = time.Now()
		c.took = c.begun.Sub(start)
		c.resuming = c.resuming && c.conn.Resumes
	}
	return err
}

// reason returns the cause of the context if that has ended, and err otherwise.
func (c *connection) reason(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// read moves messages to the window until the connection ends.
func (c *connection) read(conn *transport.Session) (err error) {
	defer c.publish()
	closed := make(chan struct{})
	unblock := context.AfterFunc(c.ctx, func() {
		conn.Close()
		close(closed)
	})
	defer func() {
		switch {
		case !unblock():
			<-closed
		case errors.Is(err, transport.ErrEnd) && c.handover == nil && lingers(conn):
			c.lingers = true
		default:
			conn.Close()
		}
	}()
	var m transport.Message
	for waited := true; ; {
		if err := conn.Read(&m); err != nil {
			return err
		}
		if err := c.bring(&m, waited); err != nil {
			return err
		}
		waited = !m.More
	}
}

// lingers reports whether conn must stay open after ErrEnd.
func lingers(conn *transport.Session) bool {
	l, ok := conn.Conn.(transport.Lingerer)
	return ok && l.Lingers()
}

// linger closes a connection that lingers, once the consumer has settled every event or the
// connection's context has ended.
func (c *connection) linger() {
	if !c.lingers {
		return
	}
	defer c.cancel(nil)
	defer c.conn.Close()
	w := c.window
	w.press()
	defer w.release()
	for w.sweep().seq < w.staged {
		select {
		case <-w.space:
		case <-c.ctx.Done():
			return
		}
	}
}

// publish makes what was staged visible to consumers.
func (c *connection) publish() {
	c.window.setBusy(!c.awaited && c.pace.isFast(c.received, c.now))
	c.window.publish()
	c.handover.passed(c.token)
	c.stats.received.Store(c.received)
	if c.moved {
		c.moved = false
		c.checkpoint.touch()
	}
}

// receive handles a message. The window has space for it.
func (c *connection) receive(m *transport.Message) {
	switch m.Kind {
	case decode.KindData:
		c.event(m)
	case decode.KindPosition:
		// With Options.Token, the framing's ids are not tokens.
		if c.opts.Token == nil {
			c.move(m.Token)
		}
	case decode.KindRetry:
		c.delay = max(m.Delay, retry.MinDelay) // retry: 0 is a value
	default:
		if c.opts.Trace.Signal != nil {
			c.opts.Trace.Signal(*m)
		}
	}
}

// event handles an event: token, dedupe, sequence, skip, gap, window. A skipped event counts in the
// sequence, a duplicate does not.
func (c *connection) event(m *transport.Message) {
	var ev Event // set field by field; see decode.Reader.NextTo
	ev.Data, ev.Type, ev.ID, ev.Token, ev.Header = m.Data, m.Type, m.ID, m.Token, m.Header
	ev.Received, ev.settle, ev.Attempt = c.now, m.Settle, max(m.Attempt, 1)
	c.received++
	c.awaited = m.Settle != nil
	if c.opts.Token != nil {
		ev.Token = c.opts.Token(ev)
	}
	c.suspect(&ev)
	if ev.Token == "" {
		ev.Token = c.token
	}
	if c.isDuplicate(&ev) {
		c.stats.duplicates.Add(1)
		return
	}
	c.events++
	if c.opts.Skip != nil && c.opts.Skip(ev) {
		c.stats.skipped.Add(1)
		if ev.settle != nil {
			ev.settle(nil)
		}
		c.move(ev.Token)
		return
	}
	if c.gap != nil {
		ev.Gap, c.gap = c.gap, nil
		ev.Gap.To = ev.Token
	}
	c.token = ev.Token
	c.window.stage(&ev)
}

// move changes the position without an event. The checkpoint follows, unless it would pass a loss
// that no event has reported yet, or replace a position by none: then it moves with the next event.
func (c *connection) move(token string) {
	c.token = token
	if c.gap == nil && token != "" {
		c.window.stagePosition(token)
		c.moved = true
	}
}

// waitForSpace stops reading until the window has space for size bytes.
func (c *connection) waitForSpace(size int) error {
	w := c.window
	c.publish()
	w.press() // a batch that waits for more events must not wait any longer
	defer w.release()
	c.stats.set(StateFull)
	defer c.stats.set(StateLive)
	c.behind.Store(math.MaxInt64)
	defer func() { c.behind.Store(time.Now().UnixNano()) }()
	var impatient <-chan time.Time
	if c.conn.MaxPause > 0 && c.conn.Resumes && c.token != "" { // without a position, closing would lose events
		timer := time.NewTimer(c.conn.MaxPause)
		defer timer.Stop()
		impatient = timer.C
	}
	stall, parked := c.watchStall(), false
	defer func() { stall.stop(!parked) }()
	for !w.fits(size) {
		select {
		case <-w.space:
			stall.settled()
		case <-stall.timer.C:
			c.reportStall()
		case <-impatient:
			parked = true
			return errParked
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
	return nil
}

// isDuplicate reports whether the event was received before, by its ID or its number. A sender that
// waits for an acknowledgement repeats an event on purpose, so its ID does not count.
func (c *connection) isDuplicate(ev *Event) bool {
	overlapping := c.now.Before(c.overlapEnd)
	if ev.ID != "" && ev.settle == nil {
		c.seen.add(ev.ID)
		if overlapping && c.before.take(ev.ID) || !c.ids.add(ev.ID) {
			return true
		}
	}
	if c.handover != nil {
		c.handover.mark(c.sequences)
	}
	return c.isOld(ev, overlapping)
}

// isOld reports whether the event's number shows that it was received before. A number that is
// skipped is a gap.
func (c *connection) isOld(ev *Event, overlapping bool) bool {
	if c.opts.Sequence == nil {
		return false
	}
	key, n, ok := c.opts.Sequence(*ev)
	c.suspectNumber(ok)
	if !ok {
		return false
	}
	last, known := c.sequences[key]
	switch {
	case known && overlapping && n <= last && n > c.low[key]:
		return true
	case known && n > last+1:
		c.lose(Gap{Reason: transport.SequenceJump, From: c.token, Key: key, Missed: n - last - 1})
	}
	if c.sequences == nil {
		c.sequences = make(map[string]uint64)
	}
	c.sequences[key] = n
	return false
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
	if m.Kind == decode.KindData && !c.window.fits(len(m.Data)) {
		return false
	}
	c.receive(m)
	if !m.More || c.window.unseen >= handOver {
		c.publish()
	}
	return true
}
