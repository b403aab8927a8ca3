package retry

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// longest is the maximum delay. The sum of two does not overflow a time.Duration.
const longest time.Duration = math.MaxInt64 / 2

// The default limits of what a server asks for.
const (
	maxRetryAfter = 15 * time.Minute
	maxSSERetry   = 5 * time.Minute
)

// defaults are the delays of the classes.
var defaults = [ClassPermanent]Rule{
	ClassNetwork:       {Base: 500 * time.Millisecond, Cap: 30 * time.Second},
	ClassServer:        {Base: time.Second, Cap: time.Minute},
	ClassRateLimited:   {Base: 5 * time.Second, Cap: 15 * time.Minute},
	ClassAuth:          {Base: 5 * time.Second, Cap: 5 * time.Minute},
	ClassProtocol:      {Base: time.Second, Cap: time.Minute},
	ClassTokenRejected: {Base: time.Second, Cap: 30 * time.Second},
}

// setDefaults replaces the zero and the invalid fields that schedule does not.
func (p *Policy) setDefaults() {
	if !finite(p.Jitter) {
		p.Jitter = 0
	}
	p.Reconnect = min(cmp.Or(p.Reconnect, time.Second), longest)
	p.Healthy = cmp.Or(p.Healthy, 10*time.Second)
}

// A schedule is how the delays of a class grow.
type schedule struct {
	base, cap time.Duration
	jitter    float64 // 0: the upper half of a delay is random
	full      bool    // with jitter 0, all of a delay is random
	constant  bool    // the policy sets equal base and cap
	max       int     // failures; 0: the default, negative: no limit
}

// schedule returns the schedule of a class.
func (p *Policy) schedule(c Class) schedule {
	r := p.Classes[c].orZero()
	if c != ClassRateLimited {
		r = r.or(Rule{Base: p.Base, Cap: p.Cap}.orZero())
	}
	full := r.or(defaults[c])
	s := schedule{
		base: min(full.Base, longest), cap: min(full.Cap, longest),
		jitter:   p.Jitter,
		constant: r.Base > 0 && r.Base == r.Cap,
		max:      r.MaxAttempts,
	}
	if c == ClassRateLimited {
		s.jitter = cmp.Or(s.jitter, 0.2)
	}
	return s
}

// reconnect returns the schedule after a connection that has made progress.
func (p *Policy) reconnect() schedule {
	return schedule{base: p.Reconnect, cap: p.Reconnect, jitter: p.Jitter, full: true}
}

// orZero returns r, or the zero Rule if its delays are invalid.
func (r Rule) orZero() Rule {
	if len(r.problems("")) > 0 {
		return Rule{}
	}
	return r
}

// or returns r with its zero fields set to those of def. What r sets wins: it raises a Cap of def,
// and lowers a Base.
func (r Rule) or(def Rule) Rule {
	capped := r.Cap > 0
	r.Base, r.Cap = cmp.Or(r.Base, def.Base), cmp.Or(r.Cap, def.Cap)
	if capped {
		r.Base = min(r.Base, r.Cap)
	} else if r.Cap > 0 {
		r.Cap = max(r.Base, r.Cap)
	}
	return r
}

// problems returns everything that is wrong with r. Each error starts with prefix and the field.
func (r Rule) problems(prefix string) (errs []error) {
	if r.Base < 0 {
		errs = append(errs, fmt.Errorf("%sBase: %v is negative", prefix, r.Base))
	}
	if r.Cap < 0 {
		errs = append(errs, fmt.Errorf("%sCap: %v is negative", prefix, r.Cap))
	}
	if r.Cap > 0 && r.Base > r.Cap {
		errs = append(errs, fmt.Errorf("%sCap: %v is less than Base, %v", prefix, r.Cap, r.Base))
	}
	return errs
}

// growth returns the delays of s before jitter.
func (s *schedule) growth() backoff.BackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: s.base,
		Multiplier:      2,
		MaxInterval:     s.cap,
		Stop:            backoff.Stop,
		Clock:           backoff.SystemClock,
	}
	b.Reset()
	return b
}

// split divides the delay d into its fixed part and the maximum of its random part. elapsed is the
// time since the last progress.
func (s *schedule) split(d, elapsed time.Duration) (fixed, random time.Duration) {
	switch {
	case s.jitter < 0:
		return d, 0
	case s.jitter > 0:
		return d, time.Duration(min(s.jitter*float64(d), float64(longest)))
	case s.full:
		return 0, d
	}
	d = min(d, max(s.base, elapsed)) // the recovery takes at most as long as the outage
	return d - d/2, d / 2
}

// draw returns a random delay from 0 to most, inclusive.
func draw(most time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(most) + 1))
}
