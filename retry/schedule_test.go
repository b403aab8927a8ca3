package retry_test

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

const huge = time.Duration(math.MaxInt64)

func TestDelays(t *testing.T) {
	for name, tt := range map[string]struct {
		base, cap time.Duration
		want      []time.Duration
	}{
		"only Cap":          {0, 3 * sec, []time.Duration{500 * ms, sec, 2 * sec, 3 * sec, 3 * sec}},
		"Cap below Base":    {0, 200 * ms, repeat(200*ms, 3)},
		"only Base":         {20 * sec, 0, []time.Duration{20 * sec, 30 * sec, 30 * sec}},
		"Base above Cap":    {minute, 0, repeat(minute, 3)},
		"constant":          {2 * sec, 2 * sec, repeat(2*sec, 9)},
		"below MinDelay":    {1, 1, repeat(10*ms, 3)},
		"grow to MinDelay":  {4 * ms, 0, []time.Duration{10 * ms, 10 * ms, 16 * ms, 32 * ms}},
		"huge":              {huge, huge, repeat(huge/2, 3)},
		"huge Base":         {huge, 0, repeat(huge/2, 3)},
		"huge Cap":          {huge / 3, huge, []time.Duration{huge / 3, huge / 2, huge / 2}},
		"neither is set":    {0, 0, doubled(500*ms, 30*sec, 9)},
		"Base equals a Cap": {30 * sec, 0, repeat(30*sec, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			policy := retry.Policy{Base: tt.base, Cap: tt.cap}
			class := rule(retry.ClassNetwork, retry.Rule{Base: tt.base, Cap: tt.cap})
			for _, p := range []retry.Policy{policy, class} {
				if err := p.Validate(); err != nil {
					t.Error(err)
				}
				checkDelays(t, still(p), nothing, tt.want)
			}
		})
	}
}

// A rule overrides Base and Cap of the policy, and those override the defaults.
func TestRulesOverride(t *testing.T) {
	for name, tt := range map[string]struct {
		base, cap time.Duration
		class     retry.Class
		rule      retry.Rule
		err       error
		want      []time.Duration
	}{
		"another class":      {2 * sec, 8 * sec, retry.ClassNetwork, retry.Rule{Base: minute}, status(503), []time.Duration{2 * sec, 4 * sec, 8 * sec, 8 * sec}},
		"not rate limits":    {2 * sec, 8 * sec, retry.ClassNetwork, retry.Rule{}, status(429), doubled(5*sec, 15*minute, 12)},
		"rate limits":        {0, 0, retry.ClassRateLimited, retry.Rule{Base: minute}, status(429), doubled(minute, 15*minute, 9)},
		"Base above the Cap": {0, 8 * sec, retry.ClassServer, retry.Rule{Base: minute}, status(503), repeat(minute, 3)},
		"Cap below the Base": {2 * sec, 0, retry.ClassServer, retry.Rule{Cap: sec}, status(503), repeat(sec, 3)},
		"only MaxAttempts":   {2 * sec, 0, retry.ClassServer, retry.Rule{MaxAttempts: 3}, status(503), []time.Duration{2 * sec, 4 * sec, -1}},
		"final":              {0, 0, retry.ClassServer, retry.Rule{MaxAttempts: 1}, status(503), []time.Duration{-1}},
		"no limit":           {0, 0, retry.ClassProtocol, retry.Rule{MaxAttempts: -1}, garbage{}, doubled(sec, minute, 50)},
		"auth":               {0, 0, retry.ClassAuth, retry.Rule{MaxAttempts: -1}, status(401), doubled(5*sec, 5*minute, 50)},
	} {
		t.Run(name, func(t *testing.T) {
			p := rule(tt.class, tt.rule)
			p.Base, p.Cap = tt.base, tt.cap
			checkDelays(t, still(p), retry.Failure{Err: tt.err}, tt.want)
		})
	}
}

// A policy that Validate rejects must neither panic nor retry in a tight loop.
func TestInvalidCountsAsZero(t *testing.T) {
	for name, p := range map[string]retry.Policy{
		"Base":      {Base: -1},
		"Cap":       {Cap: -1},
		"Cap, Base": {Base: 2, Cap: 1},
		"Jitter":    {Jitter: math.NaN()},
		"rule":      rule(retry.ClassServer, retry.Rule{Base: -1, Cap: 1}),
		"permanent": rule(retry.ClassPermanent, retry.Rule{MaxAttempts: 3}),
		"no class":  rule(99, retry.Rule{MaxAttempts: 3}),
	} {
		t.Run(name, func(t *testing.T) {
			b := p.Start()
			for range 9 {
				if got := b.Next(retry.Failure{Err: status(503)}).Delay; got < 500*ms || got > sec {
					t.Errorf("got delay %v, want 500ms to 1s", got)
				}
			}
			if d := b.Next(retry.Failure{Err: status(404)}); !d.Stop {
				t.Errorf("got %+v, want Stop", d)
			}
		})
	}
}

// draws returns the shortest and the longest delay of many decisions on the first failure, and the
// share of delays in the lower half between them.
func draws(p retry.Policy, f retry.Failure) (least, most time.Duration, lower float64) {
	const n = 4000
	least = math.MaxInt64
	var ds []time.Duration
	for range n {
		d := p.Start().Next(f).Delay
		ds, least, most = append(ds, d), min(least, d), max(most, d)
	}
	for _, d := range ds {
		if d < least+(most-least)/2 {
			lower += 1.0 / n
		}
	}
	return least, most, lower
}

func TestJitter(t *testing.T) {
	tenth, wide := retry.Policy{Jitter: 0.1}, retry.Policy{Jitter: 3}
	for name, tt := range map[string]struct {
		policy      retry.Policy
		failure     retry.Failure
		least, most time.Duration
	}{
		"half":                  {retry.Policy{}, nothing, 250 * ms, 500 * ms},
		"full, reconnect":       {retry.Policy{}, lost, 10 * ms, sec},
		"half, 503":             {retry.Policy{}, retry.Failure{Err: status(503)}, 500 * ms, sec},
		"half, token":           {retry.Policy{}, retry.Failure{Err: gone{410}}, 500 * ms, sec},
		"half, protocol":        {retry.Policy{}, retry.Failure{Err: garbage{}}, 500 * ms, sec},
		"fifth":                 {retry.Policy{}, retry.Failure{Err: status(429)}, 5 * sec, 6 * sec},
		"half, constant":        {retry.Policy{Base: sec, Cap: sec}, nothing, 500 * ms, sec},
		"full, Reconnect":       {retry.Policy{Reconnect: minute}, lost, 10 * ms, minute},
		"tenth":                 {tenth, retry.Failure{Err: status(503)}, sec, 1100 * ms},
		"tenth, 429":            {tenth, retry.Failure{Err: status(429)}, 5 * sec, 5500 * ms},
		"tenth, reconnect":      {tenth, lost, sec, 1100 * ms},
		"three times":           {wide, nothing, 500 * ms, 2 * sec},
		"half over Retry-After": {retry.Policy{}, retry.Failure{Err: later{503, 9 * sec}}, 9 * sec, 9500 * ms},
		"over Retry-After":      {retry.Policy{}, retry.Failure{Err: later{429, minute}}, minute, 61 * sec},
		"over a capped one":     {retry.Policy{}, retry.Failure{Err: later{429, time.Hour}}, 15 * minute, 15*minute + sec},
		"over retry, reconnect": {retry.Policy{}, retry.Failure{Err: io.EOF, Events: 1, Moved: true, ServerDelay: 3 * sec}, 3 * sec, 4 * sec},
		"over retry, network":   {retry.Policy{}, retry.Failure{Err: io.EOF, ServerDelay: 3 * sec}, 3 * sec, 3250 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			least, most, lower := draws(tt.policy, tt.failure)
			if least < tt.least || most > tt.most {
				t.Errorf("got delays from %v to %v, want them from %v to %v", least, most, tt.least, tt.most)
			}
			// 4,000 uniform draws come within 2 % of both ends, and 45 % to 55 % are in each half.
			if slack := (tt.most - tt.least) / 50; least > tt.least+slack || most < tt.most-slack {
				t.Errorf("got delays from %v to %v, want all of %v to %v", least, most, tt.least, tt.most)
			}
			if lower < 0.45 || lower > 0.55 {
				t.Errorf("got %.0f %% of the delays in the lower half, want 45 to 55", 100*lower)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		least, most, _ := draws(still(retry.Policy{}), nothing)
		if least != 500*ms || most != 500*ms {
			t.Errorf("got delays from %v to %v, want 500ms", least, most)
		}
	})
}

func FuzzNext(f *testing.F) {
	f.Add(int64(0), int64(0), 0.0, int64(0), int64(0), int64(0), uint16(503), false)
	f.Add(int64(sec), int64(minute), 1.0, int64(math.MaxInt64), int64(math.MaxInt64), int64(-1), uint16(429), false)
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), 1e300, int64(1), int64(1), int64(math.MaxInt64), uint16(0), true)
	f.Add(int64(math.MaxInt64), int64(0), 0.0, int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), uint16(503), false)
	f.Add(int64(math.MaxInt64), int64(0), 9.0, int64(0), int64(math.MaxInt64), int64(math.MaxInt64), uint16(0), false)
	f.Add(int64(-1), int64(-9), -1.0, int64(-1), int64(-1), int64(math.MinInt64), uint16(408), true)
	f.Fuzz(func(t *testing.T, base, most int64, jitter float64, after, asked, limit int64, code uint16, progress bool) {
		r := retry.Rule{Base: time.Duration(base), Cap: time.Duration(most)}
		p := retry.Policy{
			Reconnect: r.Base.Abs(), Base: r.Base, Cap: r.Cap, Jitter: jitter, MaxServerDelay: time.Duration(limit),
			Classes: map[retry.Class]retry.Rule{retry.ClassRateLimited: r},
		}
		b := p.Start()
		fail := retry.Failure{
			Err:         errors.Join(io.EOF, later{status(code), time.Duration(after)}),
			ServerDelay: time.Duration(asked),
		}
		if progress {
			fail.Events, fail.Moved = 1, true
		}
		for range 5 {
			d := b.Next(fail)
			switch {
			case d.Stop && d.Delay != 0:
				t.Fatalf("got %+v, want no delay with Stop", d)
			case !d.Stop && d.Delay < 10*time.Millisecond:
				t.Fatalf("got %+v, want at least MinDelay", d)
			case !d.Stop && limit > 0 && d.Delay < time.Duration(min(after, limit, math.MaxInt64/2)):
				t.Fatalf("got %+v, want at least Retry-After %v", d, time.Duration(after))
			case d.Class == retry.ClassNetwork && limit > 0 && d.Delay < time.Duration(min(asked, limit, math.MaxInt64/2)):
				t.Fatalf("got %+v, want at least retry %v", d, time.Duration(asked))
			}
		}
	})
}
