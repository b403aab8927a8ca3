package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A link is one connection of a Mux, from the first channel that needs it until its end. Its
// goroutine connects and reads.
type link struct {
	mux    *Mux
	prev   *link // must have ended before this one connects
	router Router
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc
	done   chan struct{} // closed at the end of everything
	sender sync.WaitGroup
	stalls allowance // used by the goroutine that reads

	// Guarded by the mutex of the Mux.
	ready    bool // the connection is open
	stopped  bool // it has ended, or is about to
	members  map[string]*member
	left     map[string]*departure // by name, until the server acknowledges
	order    []*departure          // of left, the oldest first; some are not in left any more
	requests map[int64]*request    // that have a channel or a departure left
	toEnd    []*departure          // in this order, before toOpen
	halves   [][]*member           // of refused messages, to be requested again
	toOpen   []*member
	missed   []*member // that are open now, and whose first events were dropped
	sending  bool      // the sender runs
	events   int
	moved    bool // an event had a position
}

// A request is a message that was sent or is about to be.
type request struct {
	id         int64
	members    []*member
	departures []*departure
	live       int // of these
}

// A departure is a channel that was removed while the server sends it.
type departure struct {
	request Request
	since   time.Time
	asked   int64         // id of the message that ends it; 0 until it is sent
	done    chan struct{} // closed when the server has acknowledged
}

// run is the link's goroutine. A function that calls runtime.Goexit ends the connection.
func (l *link) run() {
	defer close(l.done)
	returned := false
	defer func() {
		if !returned {
			l.cancel(errExited)
			l.end(errExited)
		}
	}()
	l.serve()
	returned = true
}

// serve connects, reads until the connection ends, and ends the channels.
func (l *link) serve() {
	if l.prev != nil {
		<-l.prev.done
		l.prev = nil
	}
	if !l.awaitDue() {
		l.end(context.Cause(l.ctx))
		return
	}
	session, err := l.mux.Socket.Open(l.ctx, "")
	if err != nil {
		l.finish(err, 0)
		return
	}
	start, closed := time.Now(), make(chan struct{})
	unblock := context.AfterFunc(l.ctx, func() {
		defer close(closed)
		session.Close()
	})
	if session.OnExpiring != nil {
		session.OnExpiring(func() { l.cancel(errReplaced) }) // a successor would have to subscribe to each channel
	}
	l.opened()
	err = l.read(session)
	l.finish(err, time.Since(start))
	if unblock() {
		session.Close()
	} else {
		<-closed
	}
	l.cancel(err)
	l.sender.Wait()
}

// awaitDue waits until the next attempt is due, and counts it. It returns false if no channel is
// left by then.
func (l *link) awaitDue() bool {
	if due, stop := timer(time.Until(l.mux.due)); due != nil {
		defer stop()
		select {
		case <-due:
		case <-l.ctx.Done():
		}
	}
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.mux.stats.Attempts++
	return true
}

// opened lets the channels send their requests.
func (l *link) opened() {
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	l.ready = true
	l.mux.stats.Connections++
	for _, m := range l.members {
		m.notify()
	}
}

// finish decides when the next connection may be made, and ends the channels with err.
func (l *link) finish(err error, uptime time.Duration) {
	if cause := context.Cause(l.ctx); cause != nil {
		err = cause
	}
	l.mux.mu.Lock()
	f := retry.Failure{Err: err, Events: l.events, Moved: l.moved, Uptime: uptime}
	l.mux.mu.Unlock()
	l.mux.ended(f, err == errUnused)
	l.end(err)
}

// end ends the channels with err.
func (l *link) end(err error) {
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	l.stopped = true
	if l.mux.link == l {
		l.mux.link = nil
	}
	for _, m := range l.members {
		m.end(err)
	}
}

// end ends a channel with err, after the messages that were received. The caller holds the mutex of
// the Mux.
func (m *member) end(err error) {
	if m.state == over {
		return
	}
	m.state, m.err = over, err
	m.queue.end(err)
	m.notify()
}

func (l *link) read(conn transport.Conn) error {
	for {
		var m transport.Message
		if err := conn.Read(&m); err != nil {
			return err
		}
		if m.Gap != nil {
			l.lose(m.Gap)
			m.Gap = nil
		}
		if m.Kind != decode.KindData {
			continue
		}
		switch err := l.mux.OnMessage(&l.router, &m); {
		case err == io.EOF, errors.Is(err, transport.ErrComplete):
			return err
		case err != nil:
			return fmt.Errorf("channel: OnMessage: %w", err)
		}
	}
}

// lose reports a loss of the connection to all channels.
func (l *link) lose(g *transport.Gap) {
	l.mux.mu.Lock()
	var all []*member
	for _, m := range l.members {
		if m.state == open || m.state == requested {
			all = append(all, m)
		}
	}
	l.mux.mu.Unlock()
	for _, m := range all {
		each := *g
		l.put(m, &transport.Message{Kind: decode.KindKeepalive, Gap: &each})
	}
}

// put hands a message to a channel. One that is not read is ended. If the server has not acknowledged
// it, its Open returns then, because what was received must be read before there is space.
func (l *link) put(m *member, msg *transport.Message) {
	if m.queue.put(l.ctx, msg, &l.stalls) {
		return
	}
	x := l.mux
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.state == over {
		return
	}
	x.stats.Overflows++
	l.depart(m)
	m.acked = true
	m.end(&Error{Channel: m.request.Name, Op: "overflow", Err: fmt.Errorf("%d messages or %d bytes are unread (Mux.Buffer)", m.queue.limit, maxBufferBytes)})
}

// remove removes a channel. It reports whether the connection ends, or is the next one's to wait
// for.
func (l *link) remove(m *member) (ending bool) {
	x := l.mux
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.gone {
		return l.stopped
	}
	m.gone = true
	if l.members[m.request.Name] == m {
		delete(l.members, m.request.Name)
	}
	l.release(m.request.ID)
	if !l.stopped && len(l.members) == 0 {
		l.stopped = true
		x.link = nil
		l.cancel(errUnused)
	}
	if !l.stopped {
		l.depart(m)
	}
	m.end(errClosed)
	return l.stopped
}

// release counts down what is left of a request. The caller holds the mutex of the Mux.
func (l *link) release(id int64) {
	if r := l.requests[id]; r != nil {
		if r.live--; r.live <= 0 {
			delete(l.requests, id)
		}
	}
}

// depart asks the server to end a channel that it sends, or may send. The caller holds the mutex
// of the Mux.
func (l *link) depart(m *member) {
	if m.state != requested && m.state != open {
		return
	}
	d := &departure{request: m.request, since: time.Now(), done: make(chan struct{})}
	l.toEnd = append(l.toEnd, d)
	if !l.mux.NoAcks {
		if old := l.left[m.request.Name]; old != nil { // not acknowledged in time
			l.drop(old)
		}
		l.left[m.request.Name] = d
		l.order = append(l.order, d)
		l.forget()
	}
	l.startSender()
}

// forget bounds the number of departures that the server does not acknowledge, and drops others.
func (l *link) forget() {
	if len(l.order) > 2*len(l.left)+keepCap {
		l.order = slices.DeleteFunc(l.order, func(d *departure) bool { return l.left[d.request.Name] != d })
	}
	for len(l.left) > maxLeft {
		if d := l.order[0]; l.left[d.request.Name] == d {
			l.drop(d)
			if m := l.members[d.request.Name]; m != nil && m.state == waiting {
				m.dirty = true // as after AckTimeout
			}
		}
		l.order = l.order[1:]
	}
}

// departed handles the acknowledgement of a departure. The caller holds the mutex of the Mux.
func (l *link) departed(d *departure) {
	if name := d.request.Name; l.left[name] == d {
		l.drop(d)
		if m := l.members[name]; m != nil {
			m.dirty = false // what follows is its own
		}
	}
}

// drop forgets a departure in left. The caller holds the mutex of the Mux.
func (l *link) drop(d *departure) {
	delete(l.left, d.request.Name)
	close(d.done)
	l.release(d.asked)
}

// subscribe sends the request of a channel soon.
func (l *link) subscribe(m *member) {
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	if m.state != waiting {
		return
	}
	l.toOpen = append(l.toOpen, m)
	l.startSender()
}

// startSender starts the goroutine that sends, unless it runs. The caller holds the mutex of the
// Mux.
func (l *link) startSender() {
	if l.sending || l.stopped || !l.ready {
		return
	}
	l.sending = true
	l.sender.Go(l.send)
}
