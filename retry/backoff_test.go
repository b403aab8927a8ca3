package retry_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

var (
	nothing = retry.Failure{Err: io.EOF}                         // 200, then closed without an event
	lost    = retry.Failure{Err: io.EOF, Events: 1, Moved: true} // a connection that made progress
)

// check passes a failure to b and compares the decision.
func check(t *testing.T, b *retry.Backoff, f retry.Failure, want retry.Decision) {
	t.Helper()
	got := b.Next(f)
	got.Elapsed = want.Elapsed
	if got != want {
		t.Errorf("Next(%+v):\n got %+v\nwant %+v", f, got, want)
	}
}

// again returns the decision to make another attempt.
func again(c retry.Class, delay time.Duration, attempt int) retry.Decision {
	return retry.Decision{Class: c, Delay: delay, Attempt: attempt}
}

func TestProgressStartsNewRun(t *testing.T) {
	for name, progress := range map[string]retry.Failure{
		"events":         {Err: io.ErrUnexpectedEOF, Events: 1, Moved: true},
		"healthy":        {Err: io.EOF, Uptime: time.Minute},
		"moved":          {Err: io.EOF, Moved: true}, // a long poll, a bookmark
		"a second":       {Err: io.EOF, Events: 1, Uptime: sec},
		"cut every 45 s": {Err: io.EOF, Uptime: 45 * sec}, // by a proxy, between keepalives
	} {
		t.Run(name, func(t *testing.T) {
			b := still(retry.Policy{}).Start()
			check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
			check(t, b, nothing, again(retry.ClassNetwork, sec, 2))
			check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, sec, 3))
			check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, 2*sec, 4))
			check(t, b, progress, again(retry.ClassNetwork, sec, 0))
			check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
			check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, sec, 2))
		})
	}
}

func TestNoProgressEscalates(t *testing.T) {
	for name, f := range map[string]retry.Failure{
		"clean end":      {Err: io.EOF},
		"nil":            {},
		"almost healthy": {Err: io.EOF, Uptime: 10*sec - 1},
		"events at once": {Err: io.EOF, Events: 9, Uptime: sec - 1},
		"never opened":   {Err: errors.New("refused")},
	} {
		t.Run(name, func(t *testing.T) {
			b := still(retry.Policy{}).Start()
			for i, d := range doubled(500*ms, 30*sec, 12) {
				check(t, b, f, again(retry.ClassNetwork, d, i+1))
			}
		})
	}
}

// The delays of each class grow with its own failures only.
func TestClassesGrowIndependently(t *testing.T) {
	b := still(retry.Policy{}).Start()
	check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
	check(t, b, retry.Failure{Err: status(429)}, again(retry.ClassRateLimited, 5*sec, 2))
	check(t, b, nothing, again(retry.ClassNetwork, sec, 3))
	check(t, b, retry.Failure{Err: status(429)}, again(retry.ClassRateLimited, 10*sec, 4))
	check(t, b, retry.Failure{Err: gone{410}}, again(retry.ClassTokenRejected, sec, 5))
}

func TestProgressThenAnotherClass(t *testing.T) {
	p := still(retry.Policy{})
	b := p.Start()
	check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, sec, 1))
	check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, 2*sec, 2))
	check(t, b, retry.Failure{Err: status(503), Events: 9, Moved: true}, again(retry.ClassServer, sec, 0))
	check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, 2*sec, 1))
	check(t, b, retry.Failure{Err: status(401), Events: 9, Moved: true}, retry.Decision{Class: retry.ClassAuth, Stop: true})
	check(t, b, retry.Failure{Err: gone{410}, Uptime: time.Hour}, again(retry.ClassTokenRejected, sec, 0))
	check(t, b, retry.Failure{Err: status(204), Uptime: time.Hour}, retry.Decision{Class: retry.ClassPermanent, Stop: true})

	b = p.Start()
	for range 10 { // each one is the first of its run
		check(t, b, retry.Failure{Err: garbage{}, Events: 1, Moved: true}, again(retry.ClassProtocol, sec, 0))
	}
}

func TestHealthy(t *testing.T) {
	p := still(retry.Policy{Healthy: 5 * sec})
	b := p.Start()
	check(t, b, retry.Failure{Err: io.EOF, Uptime: 5*sec - 1}, again(retry.ClassNetwork, 500*ms, 1))
	check(t, b, retry.Failure{Err: io.EOF, Uptime: 5 * sec}, again(retry.ClassNetwork, sec, 0))

	b = still(retry.Policy{}).Start() // 10 s by default
	check(t, b, retry.Failure{Err: io.EOF, Uptime: 10*sec - 1}, again(retry.ClassNetwork, 500*ms, 1))
	check(t, b, retry.Failure{Err: io.EOF, Uptime: 10 * sec}, again(retry.ClassNetwork, sec, 0))

	p.Healthy = -1
	b = p.Start()
	check(t, b, retry.Failure{Err: io.EOF, Uptime: math.MaxInt64}, again(retry.ClassNetwork, 500*ms, 1))
	check(t, b, retry.Failure{Err: io.EOF}, again(retry.ClassNetwork, sec, 2))
	check(t, b, lost, again(retry.ClassNetwork, sec, 0))
}

func TestAttempts(t *testing.T) {
	stop := func(c retry.Class, attempt int) retry.Decision {
		return retry.Decision{Class: c, Stop: true, Attempt: attempt}
	}
	t.Run("of a class", func(t *testing.T) {
		b := still(rule(retry.ClassServer, retry.Rule{MaxAttempts: 3})).Start()
		check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, sec, 1))
		check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 2))
		check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, 2*sec, 3))
		check(t, b, retry.Failure{Err: status(503)}, stop(retry.ClassServer, 4))
	})
	t.Run("of all classes", func(t *testing.T) {
		p := still(retry.Policy{MaxAttempts: 3})
		b := p.Start()
		check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
		check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, sec, 2))
		check(t, b, lost, again(retry.ClassNetwork, sec, 0))
		check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
		check(t, b, nothing, again(retry.ClassNetwork, sec, 2))
		check(t, b, nothing, stop(retry.ClassNetwork, 3))
	})
	t.Run("one", func(t *testing.T) {
		b := still(retry.Policy{MaxAttempts: 1}).Start()
		check(t, b, lost, again(retry.ClassNetwork, sec, 0))
		check(t, b, nothing, stop(retry.ClassNetwork, 1))
	})
	t.Run("negative is no limit", func(t *testing.T) {
		b := still(retry.Policy{MaxAttempts: -1, MaxElapsed: -1}).Start()
		for i, d := range doubled(500*ms, 30*sec, 50) {
			check(t, b, nothing, again(retry.ClassNetwork, d, i+1))
		}
	})
	t.Run("of ClassAuth", func(t *testing.T) {
		b := still(rule(retry.ClassAuth, retry.Rule{MaxAttempts: 2})).Start()
		check(t, b, retry.Failure{Err: status(401)}, again(retry.ClassAuth, 5*sec, 1))
		check(t, b, retry.Failure{Err: status(401)}, stop(retry.ClassAuth, 2))
	})
	t.Run("reconnect off", func(t *testing.T) {
		b := still(retry.Policy{Reconnect: -1}).Start()
		check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
		check(t, b, lost, stop(retry.ClassNetwork, 0))
	})
}

func TestMaxElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := still(retry.Policy{MaxElapsed: 10 * sec}).Start()
		play := func(f retry.Failure, want retry.Decision) {
			t.Helper()
			got := b.Next(f)
			if got != want {
				t.Errorf("Next(%+v):\n got %+v\nwant %+v", f, got, want)
			}
			time.Sleep(got.Delay)
		}
		play(nothing, retry.Decision{Delay: 500 * ms, Attempt: 1})
		play(nothing, retry.Decision{Delay: sec, Attempt: 2, Elapsed: 500 * ms})
		time.Sleep(time.Hour) // up, with events
		play(lost, retry.Decision{Delay: sec})
		play(nothing, retry.Decision{Delay: 500 * ms, Attempt: 1, Elapsed: sec})
		play(nothing, retry.Decision{Delay: sec, Attempt: 2, Elapsed: 1500 * ms})
		play(nothing, retry.Decision{Delay: 2 * sec, Attempt: 3, Elapsed: 2500 * ms})
		play(nothing, retry.Decision{Delay: 4 * sec, Attempt: 4, Elapsed: 4500 * ms})
		play(nothing, retry.Decision{Stop: true, Attempt: 5, Elapsed: 8500 * ms})
	})
}

func TestMaxElapsedIsInclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := still(retry.Policy{MaxElapsed: 3 * sec, Base: sec, Cap: sec})
		b := p.Start()
		for i := range 3 {
			check(t, b, nothing, again(retry.ClassNetwork, sec, i+1))
			time.Sleep(sec)
		}
		if d := b.Next(nothing); !d.Stop || d.Elapsed != 3*sec || d.Delay != 0 {
			t.Errorf("got %+v, want Stop after 3 s", d)
		}
	})
}

// A server fails in the same way for a day.
func TestNoTightLoop(t *testing.T) {
	for name, f := range map[string]retry.Failure{
		"200 then nothing": nothing,
		"token rejected":   {Err: gone{410}},
		"503":              {Err: status(503)},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, start, attempts := retry.Policy{}.Start(), time.Now(), 0
			for time.Since(start) < 24*time.Hour {
				d := b.Next(f)
				if d.Stop {
					t.Fatalf("%s: got %+v after %v, want no Stop", name, d, time.Since(start))
				}
				time.Sleep(d.Delay)
				attempts++
			}
			// With half jitter up to 30 s, there is an attempt every 22 s.
			if most := 24 * 60 * 60 / 20; attempts > most {
				t.Errorf("%s: got %d attempts in a day, want at most %d", name, attempts, most)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	const saturated = math.MaxInt64
	for name, tt := range map[string]struct {
		err  error
		max  time.Duration
		want []time.Duration
	}{
		"longer than the schedule":  {later{503, 10 * sec}, 0, []time.Duration{10 * sec, 10 * sec, 10 * sec, 10 * sec, 16 * sec, 32 * sec}},
		"shorter than the schedule": {later{429, sec}, 0, []time.Duration{5 * sec, 10 * sec}},
		"none":                      {later{503, 0}, 0, []time.Duration{sec, 2 * sec}},
		"negative":                  {later{503, -time.Hour}, 0, []time.Duration{sec, 2 * sec}},
		"above the cap":             {later{429, time.Hour}, 0, repeat(15*minute, 3)},
		"saturated":                 {later{429, saturated}, 0, repeat(15*minute, 3)},
		"saturated, no cap":         {later{429, saturated}, saturated, repeat(saturated/2, 3)},
		"another cap":               {later{503, time.Hour}, 20 * sec, []time.Duration{20 * sec, 20 * sec, 20 * sec, 20 * sec, 20 * sec, 32 * sec}},
		"ignored":                   {later{503, time.Hour}, -1, []time.Duration{sec, 2 * sec}},
		"token rejected":            {errors.Join(gone{410}, later{503, 9 * sec}), 0, repeat(9*sec, 3)},
		"protocol":                  {errors.Join(garbage{}, later{200, 9 * sec}), 0, []time.Duration{9 * sec, 9 * sec, 9 * sec, -1}},
		"permanent":                 {later{410, 9 * sec}, 0, []time.Duration{-1}},
	} {
		t.Run(name, func(t *testing.T) {
			p := still(retry.Policy{MaxServerDelay: tt.max})
			checkDelays(t, p, retry.Failure{Err: tt.err}, tt.want)
		})
	}
	t.Run("after progress", func(t *testing.T) {
		f := retry.Failure{Err: errors.Join(io.EOF, mendable{true, later{0, 7 * sec}}), Events: 1, Moved: true}
		checkDelays(t, still(retry.Policy{}), f, repeat(7*sec, 3))
	})
}

func TestServerDelay(t *testing.T) {
	const saturated = time.Duration(math.MaxInt64) // retry: 9999999999999999999
	def := still(retry.Policy{})
	constant := retry.Constant(3 * sec)
	constant.MaxServerDelay = 24 * time.Hour
	own := still(retry.Policy{MaxServerDelay: 2 * sec})
	off := still(retry.Policy{MaxServerDelay: -1})
	long := still(retry.Policy{Base: minute}) // all delays are a minute
	for name, tt := range map[string]struct {
		policy retry.Policy
		events int
		delay  time.Duration
		want   []time.Duration
	}{
		"reconnect":          {def, 1, 3 * sec, repeat(3*sec, 3)},
		"reconnect, shorter": {def, 1, 100 * ms, repeat(100*ms, 3)},
		"reconnect, 1 ns":    {def, 1, 1, repeat(10*ms, 3)},
		"reconnect, none":    {def, 1, 0, repeat(sec, 3)},
		"reconnect, huge":    {def, 1, saturated, repeat(5*minute, 3)},
		"reconnect, bad":     {def, 1, -saturated, repeat(sec, 3)},
		"network":            {def, 0, 3 * sec, []time.Duration{3 * sec, 3 * sec, 3 * sec, 4 * sec, 8 * sec}},
		"network, shorter":   {def, 0, 100 * ms, []time.Duration{500 * ms, sec, 2 * sec}},
		"network, huge":      {def, 0, saturated, repeat(5*minute, 3)},
		"constant":           {constant, 0, sec, repeat(sec, 20)},
		"constant, 1 ms":     {constant, 0, ms, repeat(10*ms, 3)},
		"constant, longer":   {constant, 0, 20 * sec, repeat(20*sec, 20)},
		"constant, an hour":  {constant, 1, time.Hour, repeat(time.Hour, 3)},
		"constant, huge":     {constant, 1, saturated, repeat(24*time.Hour, 3)},
		"another cap":        {own, 1, 3 * sec, repeat(2*sec, 3)},
		"only Base":          {long, 0, sec, repeat(minute, 3)},
		"ignored":            {off, 1, 3 * sec, repeat(sec, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			f := retry.Failure{Err: io.EOF, Events: tt.events, Moved: tt.events > 0, ServerDelay: tt.delay}
			checkDelays(t, tt.policy, f, tt.want)
		})
	}
	t.Run("another class", func(t *testing.T) {
		f := retry.Failure{Err: status(503), ServerDelay: minute}
		checkDelays(t, def, f, []time.Duration{sec, 2 * sec})
	})
}

func TestPolicyClassify(t *testing.T) {
	var seen []int
	p := still(retry.Policy{})
	p.Classify = func(err error, attempt int) (retry.Class, bool) {
		seen = append(seen, attempt)
		var s status
		switch {
		case err == nil:
			t.Error("Classify was called with nil, want io.EOF")
		case errors.As(err, &s) && s == 400 && attempt <= 2:
			return retry.ClassServer, true
		case errors.As(err, &s) && s == 503:
			return retry.Class(99), true
		}
		return retry.ClassPermanent, false
	}
	b := p.Start()
	check(t, b, retry.Failure{Err: status(400)}, again(retry.ClassServer, sec, 1))
	check(t, b, retry.Failure{Err: status(400)}, again(retry.ClassServer, 2*sec, 2))
	check(t, b, retry.Failure{Err: status(400)}, retry.Decision{Class: retry.ClassPermanent, Stop: true, Attempt: 3})
	check(t, b, retry.Failure{Events: 1, Moved: true}, again(retry.ClassNetwork, sec, 0))
	check(t, b, retry.Failure{Err: status(503)}, again(retry.ClassServer, sec, 1))
	if len(seen) != 5 || seen[2] != 3 || seen[3] != 0 {
		t.Errorf("got attempts %v, want 5 with 3 and 0 at indices 2 and 3", seen)
	}
}

// Failures that are final at the start are retried once a connection has made progress.
func TestFinalFailuresAfterProgress(t *testing.T) {
	for name, tt := range map[string]struct {
		err     error
		at      retry.Class // its class at the start
		tries   int         // attempts before it is final there
		stopped bool        // final after progress, too
	}{
		"400":               {err: status(400), at: retry.ClassPermanent},
		"403":               {err: status(403), at: retry.ClassPermanent},
		"404 of a proxy":    {err: fmt.Errorf("open: %w", status(404)), at: retry.ClassPermanent},
		"451":               {err: status(451), at: retry.ClassPermanent},
		"HTML page":         {err: garbage{}, at: retry.ClassProtocol, tries: 3},
		"alert":             {err: alert(116), at: retry.ClassProtocol, tries: 3},
		"unknown authority": {err: x509.UnknownAuthorityError{}, at: retry.ClassPermanent},

		"204":                {err: status(204), at: retry.ClassPermanent, stopped: true},
		"401":                {err: status(401), at: retry.ClassAuth, stopped: true},
		"410":                {err: status(410), at: retry.ClassPermanent, stopped: true},
		"Retryable false":    {err: mendable{false, nil}, at: retry.ClassPermanent, stopped: true},
		"wrapper with false": {err: mendable{false, status(404)}, at: retry.ClassPermanent, stopped: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := still(retry.Policy{}).Start()
			for i := range tt.tries {
				check(t, b, retry.Failure{Err: tt.err}, again(tt.at, sec<<i, i+1))
			}
			check(t, b, retry.Failure{Err: tt.err}, retry.Decision{Class: tt.at, Stop: true, Attempt: tt.tries + 1})

			b = still(retry.Policy{}).Start()
			check(t, b, lost, again(retry.ClassNetwork, sec, 0))
			if tt.stopped {
				check(t, b, retry.Failure{Err: tt.err}, retry.Decision{Class: tt.at, Stop: true, Attempt: 1})
				return
			}
			for i, d := range doubled(sec, minute, 50) {
				check(t, b, retry.Failure{Err: tt.err}, again(retry.ClassProtocol, d, i+1))
			}
		})
	}
}

// Limits that a policy sets also apply after progress.
func TestLimitsAfterProgress(t *testing.T) {
	stop := func(c retry.Class, attempt int) retry.Decision {
		return retry.Decision{Class: c, Stop: true, Attempt: attempt}
	}
	for name, tt := range map[string]struct {
		policy retry.Policy
		want   retry.Decision
	}{
		"rule":        {rule(retry.ClassProtocol, retry.Rule{MaxAttempts: 1}), stop(retry.ClassProtocol, 1)},
		"MaxAttempts": {retry.Policy{MaxAttempts: 1}, stop(retry.ClassProtocol, 1)},
		"MaxElapsed":  {retry.Policy{MaxElapsed: 2 * sec, Base: 3 * sec}, stop(retry.ClassProtocol, 1)},
		"Classify": {retry.Policy{Classify: func(err error, _ int) (retry.Class, bool) {
			return retry.ClassPermanent, !errors.Is(err, io.EOF)
		}}, stop(retry.ClassPermanent, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			b := still(tt.policy).Start()
			if d := b.Next(lost); d.Stop {
				t.Fatalf("got %+v, want no Stop", d)
			}
			check(t, b, retry.Failure{Err: status(404)}, tt.want)
		})
	}
}

// A server that names a reconnection time ends each connection on purpose. Without one, an event on a
// short connection may be an error.
func TestShortConnections(t *testing.T) {
	checkDelays(t, still(retry.Policy{}), retry.Failure{Err: io.EOF, Events: 1},
		[]time.Duration{500 * ms, sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec})
	checkDelays(t, still(retry.Policy{}), retry.Failure{Err: io.EOF, Events: 1, ServerDelay: 2 * sec}, repeat(2*sec, 9))
	checkDelays(t, still(retry.Policy{}), retry.Failure{Err: io.EOF, Events: 1, ServerDelay: retry.MinDelay}, repeat(10*ms, 9))
}

// Progress counts for a connection that the caller ended itself.
func TestProgressOfReplacedConnection(t *testing.T) {
	b := still(retry.Policy{}).Start()
	check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
	if b.Progress(nothing) {
		t.Error("Progress = true for a connection without events, want false")
	}
	check(t, b, nothing, again(retry.ClassNetwork, sec, 2))
	if !b.Progress(retry.Failure{Uptime: minute}) {
		t.Error("Progress = false for a connection of a minute, want true")
	}
	check(t, b, retry.Failure{Err: status(404)}, again(retry.ClassProtocol, sec, 1))
}
