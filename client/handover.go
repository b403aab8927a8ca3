package client

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// A handover replaces a connection that announces its end (see transport.Session) without
// interruption: its successor is opened while it is still read. If the feed has positions, the
// successor starts from the last one published and takes over as soon as it is open. If it has
// none, both stay open until the old one is drained; if that takes too long, the next event has a
// Gap. Duplicates are recognized by their ID, by their position, or by their number in
// Options.SequenceOf, and dropped; events with none of these are delivered twice.
type handover struct {
	old       *lifetime // of the connection that is replaced
	successor func(ctx context.Context, attempt int) (*connection, error)
	report    *reporter

	ctx  context.Context    // of the successor
	stop context.CancelFunc // ends ctx
	once sync.Once
	done chan struct{} // nil unless open has started; closed when it has returned
	cut  bool          // the unread rest of old is lost; valid after done

	mu        sync.Mutex  // guards next and abandoned
	next      *connection // once it is open
	abandoned bool        // no successor is wanted
}

var (
	errReplaced = errors.New("client: the connection was replaced before its end")
	errUnused   = errors.New("client: the successor of a connection was not needed")
)

const (
	bothOpen       = time.Second      // how long the old connection is read when there is no position
	longestOverlap = 10 * time.Second // limit for that, while the consumer is too slow
	handoverRest   = 10 * time.Second // minimum time between the starts of two connections
	handoverRetry  = 30 * time.Second // minimum time between attempts to open a successor
	longestRest    = 15 * time.Minute // maximum delay that a server may ask for
)

// awaitExpiry prepares the handover, if the connection announces its end.
func (c *connection) awaitExpiry() {
	if c.session == nil || c.session.OnExpiring == nil {
		return
	}
	c.loop.in.expectHandover()
	h := &handover{old: &c.life, successor: c.loop.openSuccessor, report: c.loop.report}
	h.ctx, h.stop = context.WithCancel(c.loop.taking)
	c.handover = h
	c.session.OnExpiring(func() {
		h.once.Do(func() {
			h.done = make(chan struct{})
			go h.open()
		})
	})
}

// openSuccessor opens a connection from the current position while another one is still read. It
// returns a connection with an error, too.
func (l *loop) openSuccessor(ctx context.Context, attempt int) (*connection, error) {
	c := l.newConnection(ctx, attempt)
	c.follows = true
	c.err = c.open(l.in.successorPosition())
	return c, c.err
}

// open opens the successor and ends the connection that it replaces. It tries again until that
// connection ends.
func (h *handover) open() {
	defer close(h.done)
	old := h.old
	pause(old.ctx, handoverRest-time.Since(old.begun), nil)
	for attempt := 1; old.ctx.Err() == nil; attempt++ {
		next, err := h.successor(h.ctx, attempt)
		if err == nil {
			if !h.accept(next) {
				next.session.Close()
				next.life.cancel(nil)
				h.report.dropped(next, errUnused)
				return
			}
			if !next.resuming {
				h.readOut()
			}
			old.cancel(errReplaced)
			return
		}
		next.life.cancel(nil)
		wait := retryDelay(err)
		if old.ctx.Err() == nil {
			h.report.notReplaced(next, retry.Decision{Class: retry.Classify(err), Attempt: attempt, Delay: wait})
		} else {
			h.report.dropped(next, err)
		}
		pause(old.ctx, wait, nil)
	}
}

// A delayError is the error of a server that asks for a delay.
type delayError interface {
	error
	RetryAfter() time.Duration
}

// retryDelay returns the time until another attempt to open a successor.
func retryDelay(err error) time.Duration {
	var asks delayError
	if errors.As(err, &asks) {
		return max(handoverRetry, min(asks.RetryAfter(), longestRest))
	}
	return handoverRetry
}

// accept makes next the successor. It returns false if none is wanted.
func (h *handover) accept(next *connection) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.abandoned {
		return false
	}
	next.release = h.stop
	h.next = next
	return true
}

// abandon cancels a successor that is not open yet. It leaves an open one alone: the end of its
// context would close it.
func (h *handover) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next == nil {
		h.abandoned = true
		h.stop()
	}
}

// readOut waits until the old connection, which has no position, has been read for bothOpen without
// a wait for the consumer. If that takes longer than longestOverlap, the unread rest is lost.
func (h *handover) readOut() {
	old := h.old
	for deadline := time.Now().Add(longestOverlap); old.ctx.Err() == nil && time.Now().Before(deadline); {
		since := max(old.blocked.Load(), h.next.life.begun.UnixNano())
		if since != math.MaxInt64 && time.Since(time.Unix(0, since)) >= bothOpen {
			return
		}
		pause(old.ctx, bothOpen/4, nil)
	}
	h.cut = true
}

// successor returns the connection that replaces c, or nil if none was opened in time.
func (l *loop) successor(c *connection) *connection {
	h := c.handover
	if h == nil {
		return nil
	}
	h.once.Do(func() {}) // from now on, no handover starts
	over := l.endsWith(c.err) || c.err == errResumed
	if over || c.err == errRedial {
		h.abandon()
	}
	l.await(h)
	if h.next == nil || over {
		h.stop()
		if h.next != nil {
			h.next.session.Close()
			l.report.dropped(h.next, errUnused)
		}
		return nil
	}
	resumes := h.next.resuming
	l.in.switchOver(resumes, !resumes && (h.cut || c.err != errReplaced))
	return h.next
}

// await waits until open has returned. Reconnect cancels a successor that is not open yet.
func (l *loop) await(h *handover) {
	if h.done == nil {
		return
	}
	l.report.enter(Transition{State: StateConnecting})
	select {
	case <-h.done:
	case <-l.redial:
		l.requestRedial() // the next attempt is due at once
		h.abandon()
		<-h.done
	}
}
