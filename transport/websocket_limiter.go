package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Rate is a maximum number of messages in any interval of a length, such as 120 per minute:
// Rate{N: 120, Per: time.Minute}. The zero Rate sets no limit.
type Rate struct {
	N   int
	Per time.Duration
}

func (r Rate) validate() error {
	switch {
	case r.N < 0 || r.Per < 0 || (r.N > 0) != (r.Per > 0):
		return errors.New("want both N and Per above zero, or neither")
	case r.N > maxRate:
		return fmt.Errorf("want N of at most %d", maxRate)
	}
	return nil
}

// reservedShare is the fraction of a rate reserved for heartbeats, pings and pongs.
const reservedShare = 8

// maxRate bounds the memory of a limiter.
const maxRate = 100_000

// A limiter limits how many messages are sent in any interval. A nil limiter sets no limit.
type limiter struct {
	per     time.Duration
	mu      sync.Mutex
	sent    []time.Time // the latest times, as a ring buffer
	next    int
	reserve int
}

func newLimiter(r Rate) *limiter {
	if r.N <= 0 {
		return nil
	}
	reserve := (r.N + reservedShare - 1) / reservedShare
	if r.N == 1 {
		reserve = 0
	}
	return &limiter{per: r.Per, sent: make([]time.Time, r.N), reserve: reserve}
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
