package transport

import (
	"context"
	"sync"
	"time"
)

// reservedShare is the fraction of a send limit reserved for heartbeats, pings and pongs.
const reservedShare = 8

// maxSendLimit bounds the memory of a limiter.
const maxSendLimit = 100_000

// A limiter limits how many messages are sent in any interval. A nil limiter sets no limit.
type limiter struct {
	per     time.Duration
	mu      sync.Mutex
	sent    []time.Time // the latest times, as a ring buffer
	next    int
	reserve int
}

func newLimiter(limit int, per time.Duration) *limiter {
	if limit <= 0 {
		return nil
	}
	reserve := (limit + reservedShare - 1) / reservedShare
	if limit == 1 {
		reserve = 0
	}
	return &limiter{per: per, sent: make([]time.Time, limit), reserve: reserve}
}

// wait returns once a message may be sent, and counts it.
func (l *limiter) wait(ctx, life context.Context, urgent bool) error {
	for {
		d := l.take(urgent)
		if d <= 0 {
			return nil
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-life.Done():
			timer.Stop()
			return context.Cause(life)
		}
	}
}

// take counts a message if it may be sent now. Otherwise it returns how long to wait.
func (l *limiter) take(urgent bool) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	back := 0 // with a reserve, a later message than the oldest must have expired
	if !urgent {
		back = l.reserve
	}
	first := l.sent[(l.next+back)%len(l.sent)]
	if d := l.per - time.Since(first); !first.IsZero() && d > 0 {
		return d
	}
	l.note()
	return 0
}

// count counts a message that does not wait.
func (l *limiter) count() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note()
}

func (l *limiter) note() {
	l.sent[l.next] = time.Now()
	l.next = (l.next + 1) % len(l.sent)
}
