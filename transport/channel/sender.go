package channel

import (
	"errors"
	"fmt"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// send sends requests until none is left.
func (l *link) send() {
	returned := false
	defer func() {
		if !returned {
			l.cancel(errExited)
		}
	}()
	if l.mux.batch() > 1 {
		t := time.NewTimer(gathering)
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.ctx.Done():
		}
	}
	for {
		r, channels := l.next()
		if r == nil {
			returned = true
			return
		}
		l.transmit(r, channels)
	}
}

// next returns the next request, or nil if there is none. It is registered before it is sent,
// because the answer may come at once.
func (l *link) next() (*request, []Request) {
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	r := &request{}
	if l.ctx.Err() == nil {
		l.fill(r)
	}
	if len(r.members)+len(r.departures) == 0 {
		l.sending = false
		return nil, nil
	}
	l.mux.requests++
	r.id, r.live = l.mux.requests, len(r.members)
	var channels []Request
	for _, d := range r.departures {
		channels = append(channels, d.request)
		if d.asked = r.id; l.left[d.request.Name] == d {
			r.live++
		}
	}
	if r.live > 0 {
		l.requests[r.id] = r
	}
	for _, m := range r.members {
		m.state, m.request.ID = requested, r.id
		channels = append(channels, m.request)
	}
	return r, channels
}

// fill chooses the channels of the next request. Removed channels come first: they make room.
func (l *link) fill(r *request) {
	batch := l.mux.batch()
	if n := min(batch, len(l.toEnd)); n > 0 {
		r.departures, l.toEnd = l.toEnd[:n:n], l.toEnd[n:]
		return
	}
	for len(l.halves) > 0 && len(r.members) == 0 {
		r.members, l.halves = stillWaiting(l.halves[0]), l.halves[1:]
	}
	for len(r.members) == 0 && len(l.toOpen) > 0 {
		n := min(batch, len(l.toOpen))
		r.members, l.toOpen = stillWaiting(l.toOpen[:n]), l.toOpen[n:]
	}
}

func stillWaiting(all []*member) (some []*member) {
	for _, m := range all {
		if m.state == waiting {
			some = append(some, m)
		}
	}
	return some
}

// transmit sends a request.
func (l *link) transmit(r *request, channels []Request) {
	compose := l.mux.Subscribe
	if len(r.departures) > 0 {
		compose = l.mux.Unsubscribe
	}
	text, err := compose(r.id, channels)
	if err == nil && len(text) > 0 {
		err = l.mux.Socket.Send(l.ctx, text)
	}
	switch {
	case l.ctx.Err() != nil, errors.Is(err, transport.ErrNotConnected): // Read returns why
	case err != nil && len(r.departures) > 0:
		l.cancel(fmt.Errorf("channel: cannot end a channel: %w", err))
		return
	case err != nil:
		halve := isHalved(err)
		l.mux.mu.Lock()
		defer l.mux.mu.Unlock()
		l.refuse(r, "subscribe", err, halve)
		return
	}
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	l.transmitted(r)
}

// transmitted starts the time for the acknowledgement. The caller holds the mutex of the Mux.
func (l *link) transmitted(r *request) {
	for _, m := range r.members {
		if m.request.ID != r.id || m.state != requested {
			continue
		}
		m.sent = time.Now()
		if l.mux.NoAcks {
			m.accept()
			continue
		}
		m.notify()
	}
}

// isHalved reports whether a refusal may concern only some of several channels. The caller does not hold
// the mutex of the Mux, because methods of err are called.
func isHalved(err error) bool { return err != nil && retry.Classify(err) != retry.ClassRateLimited }

// refuse fails the channels of a request that still wait for it. If there are several, they are
// requested again in halves if halve is set. The server may have subscribed to some of them: what it sends before
// the next acknowledgement may be only a part, and is dropped. The caller holds the mutex of the Mux.
func (l *link) refuse(r *request, op string, err error, halve bool) {
	var failed []*member
	for _, m := range r.members {
		if m.request.ID == r.id && m.state == requested {
			failed = append(failed, m)
		}
	}
	if len(failed) < 2 || !halve {
		for _, m := range failed {
			m.end(&Error{Channel: m.request.Name, Op: op, Err: err})
		}
		return
	}
	delete(l.requests, r.id)
	for _, m := range failed {
		m.state, m.sent, m.request.ID = waiting, time.Time{}, 0
		m.dirty = true
		m.missed = m.queue.clear() || m.missed
		m.notify()
	}
	half := len(failed) / 2
	l.halves = append(l.halves, failed[:half], failed[half:])
	l.startSender()
}
