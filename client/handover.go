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

// A connection that knows that it will end (see transport.Conn) is replaced without a
// hole: its successor is opened while it is still read. Where the feed has positions, the
// successor starts from the last one published, and takes over as soon as it is open.
// Where it has none, both are open until the old one is read, and a Gap says so if that
// takes too long. What comes twice is dropped by its ID, or by its number in
// Options.Sequence; what has neither is delivered twice.
type handover struct {
	from  *connection
	ctx   context.Context        // of the successor
	stop  context.CancelFunc     // gives it up
	token atomic.Pointer[string] // where it is to start
	once  sync.Once
	done  chan struct{} // nil unless open has started; closed when it has returned
	cut   bool          // what was not read of from is lost; to be read after done

	mu        sync.Mutex  // held for these two only
	next      *connection // once it is open
	abandoned bool        // no successor is wanted

	opening atomic.Bool       // the successor is begun
	low     map[string]uint64 // sequences then, of the goroutine that reads
}

var (
	errParked   = errors.New("client: the consumer is slower than the connection can wait for")
	errReplaced = errors.New("client: the connection was replaced before its end")
)

const (
	bothOpen       = time.Second      // how long both are read when there is no position
	longestOverlap = 10 * time.Second // of both, while the consumer is behind
	handoverRest   = 10 * time.Second // between the beginnings of two connections
	handoverRetry  = 30 * time.Second // between attempts to open a successor, at least
	longestRest    = 15 * time.Minute // that a server may ask for
	overlapIDs     = 4096             // remembered
	overlapTime    = 10 * time.Second // for which a successor's events are compared with them
)

// awaitExpiry prepares the handover, if the connection will say when it is due.
func (c *connection) awaitExpiry() {
	expiring, ok := c.conn.(transport.Expirer)
	if !ok {
		return
	}
	c.seen = newRecent(overlapIDs)
	h := &handover{from: c}
	h.ctx, h.stop = context.WithCancel(c.run.ctx)
	c.handover = h
	h.passed(c.token)
	expiring.OnExpiring(func() {
		h.once.Do(func() {
			h.done = make(chan struct{})
			go h.open()
		})
	})
}

// passed takes note of the position that is published. A nil *handover needs none.
func (h *handover) passed(token string) {
	if h == nil {
		return
	}
	if last := h.token.Load(); last == nil || *last != token {
		position := token // a copy, so that only what is kept is on the heap
		h.token.Store(&position)
	}
}

// mark keeps the numbers at which the successor was begun: what it brings twice is above
// them. It is called before each event of the old connection.
func (h *handover) mark(sequences map[string]uint64) {
	if h.low == nil && h.opening.Load() {
		h.low = maps.Clone(sequences)
	}
}

// open opens the successor and ends the connection that it replaces. It tries again for
// as long as that one lasts.
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

// accept makes next the successor, unless none is wanted.
func (h *handover) accept(next *connection) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.abandoned {
		return false
	}
	h.next = next
	return true
}

// abandon gives up a successor that is not open yet. One that is open goes on: its
// context is its life.
func (h *handover) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next == nil {
		h.abandoned = true
		h.stop()
	}
}

// readOut waits until the old connection, which has no position, has been read for as long
// as both are open. Where the consumer does not get that far, what is not read is a loss.
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

// follow returns the connection to go on with after c, nil if none was opened in time.
func (r *run) follow(c *connection) *connection {
	h := c.handover
	if h == nil {
		return nil
	}
	h.once.Do(func() {}) // from now on it is too late
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
	h.mark(r.sequences) // unless an event has come since
	r.overlapEnd, r.before, r.low = time.Now().Add(overlapTime), r.seen, h.low
	return h.next
}

// await waits until a successor is open or none will be. Reconnect does not wait for one
// that is still being opened.
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
