package client

import (
	"context"
	"errors"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A handover replaces a connection that announces its end (see transport.Session) without
// interruption: its successor is opened while it is still read. If the feed has positions, the
// successor starts from the last one published and takes over as soon as it is open. If it has
// none, both stay open until the old one is drained; if that takes too long, the next event has a
// Gap. Duplicates are recognised by their ID, or by their number in Options.Sequence, and dropped;
// events with neither are delivered twice.
type handover struct {
	from  *connection
	ctx   context.Context        // of the successor
	stop  context.CancelFunc     // ends ctx
	token atomic.Pointer[string] // the position that the successor starts from
	once  sync.Once
	done  chan struct{} // nil unless open has started; closed when it has returned
	cut   bool          // the unread rest of from is lost; valid after done

	mu        sync.Mutex  // guards next and abandoned
	next      *connection // once it is open
	abandoned bool        // no successor is wanted

	opening atomic.Bool       // the first attempt to open a successor has started
	low     map[string]uint64 // sequences at that time; used by the goroutine that reads
}

var (
	errParked   = errors.New("client: the consumer is slower than the connection can wait for")
	errReplaced = errors.New("client: the connection was replaced before its end")
)

const (
	bothOpen       = time.Second      // how long the old connection is read when there is no position
	longestOverlap = 10 * time.Second // limit for that, while the consumer is too slow
	handoverRest   = 10 * time.Second // minimum time between the starts of two connections
	handoverRetry  = 30 * time.Second // minimum time between attempts to open a successor
	longestRest    = 15 * time.Minute // maximum delay that a server may ask for
	overlapIDs     = 4096             // ids of the old connection to remember
	overlapTime    = 10 * time.Second // how long a successor's events are compared with them
)

// awaitExpiry prepares the handover, if the connection announces its end.
func (c *connection) awaitExpiry() {
	if c.conn.OnExpiring == nil {
		return
	}
	c.seen = newRecent(overlapIDs)
	h := &handover{from: c}
	h.ctx, h.stop = context.WithCancel(c.run.ctx)
	c.handover = h
	h.passed(c.token)
	c.conn.OnExpiring(func() {
		h.once.Do(func() {
			h.done = make(chan struct{})
			go h.open()
		})
	})
}

// passed records the published position. A nil *handover does nothing.
func (h *handover) passed(token string) {
	if h == nil {
		return
	}
	if last := h.token.Load(); last == nil || *last != token {
		position := token // a copy, so that token itself does not escape
		h.token.Store(&position)
	}
}

// mark records the sequence numbers at the time when the successor was started: duplicates have
// higher numbers. It is called before each event of the old connection.
func (h *handover) mark(sequences map[string]uint64) {
	if h.low == nil && h.opening.Load() {
		h.low = maps.Clone(sequences)
	}
}

// open opens the successor and ends the connection that it replaces. It tries again until that
// connection ends.
func (h *handover) open() {
	defer close(h.done)
	old := h.from
	sleep(old.ctx, handoverRest-time.Since(old.begun))
	for attempt := 1; old.ctx.Err() == nil; attempt++ {
		next := old.newConnection(h.ctx, attempt)
		next.follows, next.release = true, h.stop
		h.opening.Store(true)
		err := next.open(*h.token.Load())
		if err == nil {
			if !h.accept(next) {
				next.conn.Close()
				next.cancel(nil)
				return
			}
			if !next.resuming {
				h.readOut()
			}
			old.cancel(errReplaced)
			return
		}
		next.cancel(nil)
		wait := handoverRetry
		var asks interface{ RetryAfter() time.Duration }
		if errors.As(err, &asks) {
			wait = max(wait, min(asks.RetryAfter(), longestRest))
		}
		if old.ctx.Err() == nil {
			next.err = err
			h.notReplaced(next, retry.Decision{Class: retry.Classify(err), Attempt: attempt, Delay: wait})
		}
		sleep(old.ctx, wait)
	}
}

// accept makes next the successor. It returns false if none is wanted.
func (h *handover) accept(next *connection) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.abandoned {
		return false
	}
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
	old := h.from
	for deadline := time.Now().Add(longestOverlap); old.ctx.Err() == nil && time.Now().Before(deadline); {
		since := max(old.behind.Load(), h.next.begun.UnixNano())
		if since != math.MaxInt64 && time.Since(time.Unix(0, since)) >= bothOpen {
			return
		}
		sleep(old.ctx, bothOpen/4)
	}
	h.cut = true
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// follow returns the connection that replaces c, or nil if none was opened in time.
func (r *run) follow(c *connection) *connection {
	h := c.handover
	if h == nil {
		return nil
	}
	h.once.Do(func() {}) // from now on, no handover starts
	over := r.ctx.Err() != nil || errors.Is(c.err, transport.ErrEnd)
	if over || c.err == errRedial {
		h.abandon()
	}
	r.await(h)
	if h.next == nil || over {
		h.stop()
		if h.next != nil {
			h.next.conn.Close()
		}
		return nil
	}
	if !h.next.resuming && (h.cut || c.err != errReplaced) {
		r.lose(Gap{Reason: transport.NoToken, From: r.token})
	}
	h.mark(r.sequences) // if no event has done so
	r.overlapEnd, r.before, r.low = time.Now().Add(overlapTime), r.seen, h.low
	return h.next
}

// await waits until open has returned. Reconnect cancels a successor that is not open yet.
func (r *run) await(h *handover) {
	if h.done == nil {
		return
	}
	r.stats.set(StateConnecting)
	select {
	case <-h.done:
	case <-r.redial:
		signal(r.redial) // the next attempt is due at once
		h.abandon()
		<-h.done
	}
}
