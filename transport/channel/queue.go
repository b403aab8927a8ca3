package channel

import (
	"context"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// keepCap is the capacity of a batch that a channel keeps while it has nothing to read.
const keepCap = 16

// A queue holds the messages of a channel that were received and not yet read. One goroutine puts
// messages in, and another one takes them out, all at once.
type queue struct {
	limit int
	ready chan struct{} // one token: there is something to take
	space chan struct{} // one token: everything was taken

	mu       sync.Mutex // never held across a wait
	in       []transport.Message
	spare    []transport.Message // an empty slice to use next
	bytes    int                 // of in
	err      error               // after in
	patience time.Duration       // how long put may still wait
}

func (q *queue) init(limit int) {
	q.limit, q.patience = limit, patience
	q.ready, q.space = make(chan struct{}, 1), make(chan struct{}, 1)
}

// An allowance is how long full channels may keep the socket from being read: patienceWithAll at once,
// and a tenth of the time in the long run, but a moment for each, because a channel that is read needs
// no more. It is used by the goroutine that reads.
type allowance struct {
	left time.Duration
	at   time.Time // when left was brought up to date
}

// get returns how long the next channel may take.
func (a *allowance) get() time.Duration {
	now := time.Now()
	a.left = min(max(a.left, 0)+now.Sub(a.at)/10, patienceWithAll)
	a.at = now
	return max(a.left, moment)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds a message. If there is no space, it waits as long as the patience with this channel and
// that with all of them lasts, and then returns false. The end of ctx is that of the queue, so that
// no message follows one that was not added.
func (q *queue) put(ctx context.Context, m *transport.Message, all *allowance) bool {
	added, left := q.add(m)
	for !added && left > 0 {
		start, t := time.Now(), time.NewTimer(min(left, all.get()))
		expired := false
		select {
		case <-q.space:
		case <-t.C:
			expired = true
		case <-ctx.Done():
			q.end(context.Cause(ctx))
		}
		t.Stop()
		waited := time.Since(start)
		all.left -= waited
		q.mu.Lock()
		q.patience -= waited
		q.mu.Unlock()
		if added, left = q.add(m); expired {
			return added
		}
	}
	return added
}

// add adds a message if there is space or if nothing more is taken. Otherwise it returns how long
// to wait at most.
func (q *queue) add(m *transport.Message) (added bool, left time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil:
		return true, 0
	case len(q.in) >= q.limit, len(q.in) > 0 && q.bytes+len(m.Data) > maxBufferBytes:
		return false, q.patience
	}
	q.in = append(q.in, *m)
	q.bytes += len(m.Data)
	if len(q.in) == 1 {
		signal(q.ready)
	}
	return true, 0
}

// end adds an error after the messages. Only the first one counts.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	signal(q.ready)
	signal(q.space)
}

// stop drops the messages that were not taken, because nothing more will be.
func (q *queue) stop(err error) {
	q.end(err)
	q.clear()
}

// clear drops the messages that were not taken, and reports whether there were any.
func (q *queue) clear() (some bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	some = len(q.in) > 0
	q.in, q.spare, q.bytes = nil, nil, 0
	return some
}

// take returns all messages, or the error after them. It keeps used, which has been read, for
// later. It waits until there is something, if wait is set.
func (q *queue) take(used []transport.Message, wait bool) ([]transport.Message, error) {
	for {
		q.mu.Lock()
		if used != nil {
			q.spare, used = used[:0], nil
		}
		batch, err := q.in, q.err
		if len(batch) > 0 {
			q.in, q.spare, q.bytes = q.spare, nil, 0
			signal(q.space)
			q.mu.Unlock()
			return batch, nil
		}
		q.patience = patience
		if cap(q.spare) > keepCap {
			q.spare = nil
		}
		if cap(q.in) > keepCap {
			q.in = nil
		}
		q.mu.Unlock()
		if err != nil || !wait {
			return nil, err
		}
		<-q.ready
	}
}
