package retry

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Schedule defines how delays grow with the failures of one class within a run, and how many
// retries follow.
//
// In a [Policy], each zero field has the value that it has in [Default], so that a literal names
// only what differs: Schedule{Max: 5 * time.Minute}.
type Schedule struct {
	// Initial is the first delay. A shorter one than MinDelay means MinDelay.
	// Default: that of Default, or Max if that is shorter.
	Initial time.Duration
	// Factor multiplies each delay to get the next one; 1 keeps it constant.
	// Default: that of Default, which is 2, except for Reconnect.
	Factor float64
	// Step is added to each delay to get the next one, instead of Factor.
	// Default: none; Factor applies.
	Step time.Duration
	// Max is the maximum delay. A server may ask for a longer one, and Jitter may add to it.
	// Default: that of Default, or Initial if that is longer.
	Max time.Duration
	// Jitter is the share of a delay that is added at random: 1 makes it up to twice as long. If
	// negative, nothing is random.
	//
	// Default: that of Default, which is 0.2 for RateLimited, because an early attempt would fail
	// again. Otherwise a constant delay is random between zero and that delay. A growing one is
	// first reduced to the time since the last progress, but not below Initial; its upper half is
	// then random.
	Jitter float64
	// Attempts is the maximum number of retries after failures of the class in a run; the next
	// failure is final. math.MaxInt means no limit. If negative, the first failure is final.
	// Default: that of Default, which is no limit, except for Auth and Protocol.
	Attempts int
}

// longest is the maximum delay. The sum of two does not overflow a time.Duration.
const longest time.Duration = math.MaxInt64 / 2

// or returns s with its zero fields set to those of def, or def if s is invalid.
func (s Schedule) or(def Schedule) Schedule {
	if len(s.problems()) > 0 {
		return def
	}
	capped := s.Max != 0
	s.Initial = cmp.Or(s.Initial, def.Initial)
	s.Factor = cmp.Or(s.Factor, def.Factor)
	s.Step = cmp.Or(s.Step, def.Step)
	s.Max = min(cmp.Or(s.Max, def.Max), longest)
	s.Jitter = cmp.Or(s.Jitter, def.Jitter)
	s.Attempts = cmp.Or(s.Attempts, def.Attempts)
	if capped {
		s.Initial = min(s.Initial, s.Max)
	}
	s.Initial = min(s.Initial, longest)
	s.Max = max(s.Initial, s.Max)
	return s
}

// constant reports whether all delays are the same before jitter.
func (s Schedule) constant() bool { return s.Step == 0 && s.Factor == 1 }

// growth returns the delays of s before jitter.
func (s Schedule) growth() backoff.BackOff {
	if s.Step > 0 {
		return &linear{schedule: s, next: s.Initial}
	}
	b := &backoff.ExponentialBackOff{
		InitialInterval: s.Initial,
		Multiplier:      s.Factor,
		MaxInterval:     s.Max,
		Stop:            backoff.Stop,
		Clock:           backoff.SystemClock,
	}
	b.Reset()
	return b
}

// linear is a backoff.BackOff that adds Step each time.
type linear struct {
	schedule Schedule
	next     time.Duration
}

func (l *linear) Reset() { l.next = l.schedule.Initial }

func (l *linear) NextBackOff() time.Duration {
	d := l.next
	l.next = min(d+min(l.schedule.Step, longest), l.schedule.Max)
	return d
}

// split divides a delay into its fixed part and the maximum of its random part.
func (s Schedule) split(d time.Duration) (certain, random time.Duration) {
	switch {
	case s.Jitter < 0:
		return d, 0
	case s.Jitter == 0:
		return 0, d
	}
	return d, time.Duration(min(s.Jitter*float64(d), float64(longest)))
}

// draw returns a random delay from 0 to most, inclusive.
func draw(most time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(most) + 1))
}

// problems returns everything that is wrong with s. Each error starts with the field.
func (s Schedule) problems() []error {
	var errs []error
	add := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	if s.Initial < 0 {
		add("Initial", "%v is negative", s.Initial)
	}
	if s.Factor != 0 && !(s.Factor >= 1 && s.Factor <= math.MaxFloat64) {
		add("Factor", "%v is not a finite number of 1 or more", s.Factor)
	}
	if s.Step < 0 {
		add("Step", "%v is negative", s.Step)
	}
	if s.Step > 0 && s.Factor != 0 {
		add("Step", "growth is by Step or by Factor, not by both")
	}
	if s.Max < 0 {
		add("Max", "%v is negative", s.Max)
	}
	if s.Max > 0 && s.Initial > s.Max {
		add("Max", "%v is less than Initial, %v", s.Max, s.Initial)
	}
	if math.IsNaN(s.Jitter) || math.IsInf(s.Jitter, 0) {
		add("Jitter", "%v is not a finite number", s.Jitter)
	}
	return errs
}
