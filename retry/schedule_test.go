package retry_test

import (
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// checkDelays compares the delays after the same failure again and again.
func checkDelays(t *testing.T, p retry.Policy, f retry.Failure, want []time.Duration) {
	t.Helper()
	if got := delays(p, f, len(want)); !slices.Equal(got, want) {
		t.Errorf("delays %v\nwant   %v", got, want)
	}
}

func TestSchedule(t *testing.T) {
	const forever = math.MaxInt64
	for name, tt := range map[string]struct {
		schedule retry.Schedule
		want     []time.Duration
	}{
		"only Max":             {retry.Schedule{Max: 3 * sec}, []time.Duration{500 * ms, sec, 2 * sec, 3 * sec, 3 * sec}},
		"Max below Initial":    {retry.Schedule{Max: 200 * ms}, repeat(200*ms, 3)},
		"only Initial":         {retry.Schedule{Initial: 20 * sec}, []time.Duration{20 * sec, 30 * sec, 30 * sec}},
		"Initial above Max":    {retry.Schedule{Initial: minute}, repeat(minute, 3)},
		"only Factor":          {retry.Schedule{Factor: 10}, []time.Duration{500 * ms, 5 * sec, 30 * sec, 30 * sec}},
		"fraction":             {retry.Schedule{Initial: sec, Factor: 1.5}, []time.Duration{sec, 1500 * ms, 2250 * ms, 3375 * ms}},
		"constant":             {retry.Schedule{Factor: 1}, repeat(500*ms, 9)},
		"only Step":            {retry.Schedule{Step: 10 * sec}, []time.Duration{500 * ms, 10500 * ms, 20500 * ms, 30 * sec, 30 * sec}},
		"only Attempts":        {retry.Schedule{Attempts: 2}, []time.Duration{500 * ms, sec, -1}},
		"never":                {retry.Schedule{Attempts: -1}, []time.Duration{-1}},
		"below the least":      {retry.Schedule{Initial: 1, Max: 1}, repeat(10*ms, 3)},
		"grows over the least": {retry.Schedule{Initial: 4 * ms}, []time.Duration{10 * ms, 10 * ms, 16 * ms, 32 * ms}},
		"huge":                 {retry.Schedule{Initial: forever, Max: forever}, repeat(forever/2, 3)},
		"huge Initial":         {retry.Schedule{Initial: forever}, repeat(forever/2, 3)},
		"huge Max":             {retry.Schedule{Initial: forever / 3, Factor: 2, Max: forever}, []time.Duration{forever / 3, forever / 2, forever / 2}},
		"huge Step":            {retry.Schedule{Step: forever, Max: forever}, []time.Duration{500 * ms, forever / 2, forever / 2}},
		"huge Factor":          {retry.Schedule{Factor: math.MaxFloat64}, []time.Duration{500 * ms, 30 * sec, 30 * sec}},
	} {
		t.Run(name, func(t *testing.T) {
			p := retry.Policy{Network: tt.schedule}
			if err := p.Validate(); err != nil {
				t.Error(err)
			}
			p.Network.Jitter = -1
			checkDelays(t, p, nothing, tt.want)
		})
	}
}

// Whatever Validate refuses must still neither panic nor spin.
func TestBadScheduleCountsAsZero(t *testing.T) {
	for name, s := range map[string]retry.Schedule{
		"Initial":      {Initial: -1},
		"Factor":       {Factor: 0.5},
		"Factor NaN":   {Factor: math.NaN()},
		"Factor Inf":   {Factor: math.Inf(1)},
		"Step":         {Step: -1},
		"Step, Factor": {Step: sec, Factor: 2},
		"Max":          {Max: -1},
		"Max, Initial": {Initial: 2, Max: 1},
		"Jitter":       {Jitter: math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			b := retry.Policy{RateLimited: s}.Start()
			for _, d := range doubled(5*sec, 15*minute, 9) {
				got := b.Next(retry.Failure{Err: status(429)}).Delay
				if got < d || got > d+d/5 {
					t.Errorf("delay %v, want %v to %v", got, d, d+d/5)
				}
			}
		})
	}
}

// draws makes many independent decisions on the first failure and returns the least and
// the most delay, and the share of the delays in the lower half between them.
func draws(p retry.Policy, f retry.Failure) (least, most time.Duration, lower float64) {
	const n = 20_000
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
	progress := retry.Failure{Err: io.EOF, Events: 1, Moved: true}
	x := retry.X()
	wide := retry.Default()
	wide.Network.Jitter = 3
	for name, tt := range map[string]struct {
		policy      retry.Policy
		failure     retry.Failure
		least, most time.Duration
	}{
		"half":                  {retry.Default(), nothing, 250 * ms, 500 * ms},
		"full, reconnect":       {retry.Default(), progress, 10 * ms, sec},
		"half, 503":             {retry.Default(), retry.Failure{Err: status(503)}, 500 * ms, sec},
		"half, token":           {retry.Default(), retry.Failure{Err: gone{410}}, 500 * ms, sec},
		"half, protocol":        {retry.Default(), retry.Failure{Err: garbage{}}, 500 * ms, sec},
		"fifth":                 {retry.Default(), retry.Failure{Err: status(429)}, 5 * sec, 6 * sec},
		"tenth":                 {x, retry.Failure{Err: status(503)}, 5 * sec, 5500 * ms},
		"tenth of a minute":     {x, retry.Failure{Err: status(429)}, minute, 66 * sec},
		"tenth of a step":       {x, nothing, 250 * ms, 275 * ms},
		"as much again":         {retry.Kubernetes(), nothing, 800 * ms, 1600 * ms},
		"kubernetes reconnect":  {retry.Kubernetes(), progress, 10 * ms, 800 * ms},
		"three times":           {wide, nothing, 500 * ms, 2 * sec},
		"half over Retry-After": {retry.Default(), retry.Failure{Err: later{503, 9 * sec}}, 9 * sec, 9500 * ms},
		"over Retry-After":      {retry.Default(), retry.Failure{Err: later{429, minute}}, minute, 61 * sec},
		"over a capped one":     {retry.Default(), retry.Failure{Err: later{429, time.Hour}}, 15 * minute, 15*minute + sec},
		"over retry, reconnect": {retry.Default(), retry.Failure{Err: io.EOF, Events: 1, Moved: true, ServerDelay: 3 * sec}, 3 * sec, 4 * sec},
		"over retry, network":   {retry.Default(), retry.Failure{Err: io.EOF, ServerDelay: 3 * sec}, 3 * sec, 3250 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			least, most, lower := draws(tt.policy, tt.failure)
			if least < tt.least || most > tt.most {
				t.Errorf("delays from %v to %v, want them within %v and %v", least, most, tt.least, tt.most)
			}
			// Of 20,000 even draws none misses an end by 2 %, nor one half by 5 %.
			if slack := (tt.most - tt.least) / 50; least > tt.least+slack || most < tt.most-slack {
				t.Errorf("delays from %v to %v do not fill %v to %v", least, most, tt.least, tt.most)
			}
			if lower < 0.45 || lower > 0.55 {
				t.Errorf("%.0f %% of the delays are in the lower half", 100*lower)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		least, most, _ := draws(still(retry.Default()), nothing)
		if least != 500*ms || most != 500*ms {
			t.Errorf("delays from %v to %v, want 500ms", least, most)
		}
	})
}

func FuzzNext(f *testing.F) {
	f.Add(int64(0), 0.0, int64(0), int64(0), 0.0, int64(0), int64(0), int64(0), uint16(503), false)
	f.Add(int64(sec), 2.0, int64(0), int64(minute), 1.0, int64(math.MaxInt64), int64(math.MaxInt64), int64(-1), uint16(429), false)
	f.Add(int64(math.MaxInt64), 1e300, int64(0), int64(math.MaxInt64), 1e300, int64(1), int64(1), int64(math.MaxInt64), uint16(0), true)
	f.Add(int64(math.MaxInt64), 1.0, int64(0), int64(0), 0.0, int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), uint16(503), false)
	f.Add(int64(math.MaxInt64), 1.0, int64(0), int64(0), 9.0, int64(0), int64(math.MaxInt64), int64(math.MaxInt64), uint16(0), false)
	f.Add(int64(-1), -1.0, int64(math.MinInt64), int64(-9), -1.0, int64(-1), int64(-1), int64(math.MinInt64), uint16(408), true)
	f.Fuzz(func(t *testing.T, initial int64, factor float64, step, most int64, jitter float64, after, asked, limit int64, code uint16, progress bool) {
		s := retry.Schedule{Initial: time.Duration(initial), Factor: factor, Step: time.Duration(step), Max: time.Duration(most), Jitter: jitter}
		p := retry.Policy{
			Reconnect: s, Network: s, Server: s, RateLimited: s,
			MaxRetryAfter: time.Duration(limit), MaxServerDelay: time.Duration(limit),
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
				t.Fatalf("%+v stops with a delay", d)
			case !d.Stop && d.Delay < 10*time.Millisecond:
				t.Fatalf("%+v is below the least delay", d)
			case !d.Stop && limit > 0 && d.Delay < time.Duration(min(after, limit, math.MaxInt64/2)):
				t.Fatalf("%+v undercuts Retry-After %v", d, time.Duration(after))
			case d.Class == retry.ClassNetwork && limit > 0 && d.Delay < time.Duration(min(asked, limit, math.MaxInt64/2)):
				t.Fatalf("%+v undercuts retry %v", d, time.Duration(asked))
			}
		}
	})
}
