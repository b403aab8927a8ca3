package explore

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/mock"
)

// Options configures [Run].
type Options struct {
	// Bubble runs f in a bubble of testing/synctest. The caller provides it because this
	// package does not import testing. Required.
	//
	//	func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
	Bubble func(f func())

	// Script is what the feed plays without faults. Default: events with the ids 1 to 20, one
	// second apart, then Complete.
	Script []mock.Step

	// Seed is the seed of the first schedule. The next schedules use the numbers after it.
	// Default: 1.
	Seed uint64

	// Runs is the number of schedules to play. Default: 100.
	Runs int

	// Faults is the maximum number of faults in a schedule. Negative: none. Default: 12.
	Faults int

	// Stalls adds connections that fall silent permanently. The consumer must close a silent
	// connection itself, as transport.HTTP does and a Feed without a wire does not. Default:
	// false.
	Stalls bool

	// Lossy adds a feed that rejects a token (410) and one that resets the position (an empty
	// decode.KindPosition). After either, only a Gap accounts for the missing events. Default: false.
	Lossy bool

	// Limit is the maximum duration of a scenario, in the bubble's time. Negative: no limit.
	// Default: 24 h.
	Limit time.Duration

	// Only selects faults of a schedule by number. With Seed and Runs it reproduces a failure
	// that Run has reported. An empty slice selects none. Default: nil, all faults.
	Only []int
}

// Run calls scenario repeatedly, each time in a new bubble with a feed and a store that
// misbehave: connections break, attempts fail, the feed pauses and repeats events, calls of the
// store fail, are slow, take effect although they fail or return stale data, and processes are
// stopped and killed.
//
// Run reports the first schedule that makes the scenario fail, once, on t: the failure, the
// faults that suffice for it, a timeline, and the Options that reproduce it.
// A scenario fails if it calls Errorf of its Trial, panics, leaves a goroutine running,
// deadlocks, takes longer than Limit, or returns while the script still has events.
//
// A seed determines the faults, but not the order in which goroutines run at one instant. The
// report includes how often the failure recurred.
func Run(t mock.TB, o Options, scenario func(*Trial)) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	if o.Bubble == nil {
		t.Errorf("explore: Options.Bubble: must be set")
		return
	}
	o = o.withDefaults()
	for i := range o.Runs {
		seed := o.Seed + uint64(i)
		all := o.schedule(seed).keep(o.Only)
		if trial := o.runOnce(seed, all, scenario); trial.failed() {
			t.Errorf("%s", o.report(seed, i, all, trial, scenario))
			return
		}
	}
}

func (o Options) withDefaults() Options {
	if o.Script == nil {
		for n := 1; n <= 20; n++ {
			o.Script = append(o.Script, mock.Event(fmt.Sprint(n), fmt.Sprintf(`{"id":"%d"}`, n)), mock.Pause(time.Second))
		}
		o.Script = append(o.Script, mock.Complete())
	}
	o.Seed = max(o.Seed, 1)
	if o.Runs == 0 {
		o.Runs = 100
	}
	if o.Faults == 0 {
		o.Faults = 12
	}
	if o.Limit == 0 {
		o.Limit = 24 * time.Hour
	}
	return o
}

// runOnce runs the scenario once.
func (o Options) runOnce(seed uint64, s schedule, scenario func(*Trial)) (trial *Trial) {
	trial = newTrial(seed)
	defer func() {
		if p := recover(); p != nil { // from the bubble: a goroutine is left, or all are blocked
			trial.start = time.Time{} // it is in the bubble's time
			trial.Errorf("%v", p)
		}
	}()
	o.Bubble(func() {
		trial.begin(o, s)
		defer trial.end()
		defer func() {
			if p := recover(); p != nil {
				trial.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		scenario(trial)
		trial.checkScript()
	})
	return trial
}

const (
	repeats = 5                // of a failing schedule, to count how often it fails
	tries   = 3                // of a smaller schedule before it counts as passing
	budget  = 20 * time.Second // of real time for reducing a schedule
)

// report describes a failure: that of the smallest schedule that fails again, or else the first one.
func (o Options) report(seed uint64, before int, all schedule, first *Trial, scenario func(*Trial)) string {
	again := 0
	for range repeats {
		if o.runOnce(seed, all, scenario).failed() {
			again++
		}
	}
	enough, trial := o.shrink(seed, all, scenario)
	if trial == nil {
		trial = first
	}
	var b strings.Builder
	fmt.Fprintf(&b, "explore: scenario failed with seed %d, after %d seeds without a failure; it failed in %d out of %d repetitions\n", seed, before, again, repeats)
	for _, err := range trial.errors() {
		fmt.Fprintln(&b, indent(err))
	}
	fmt.Fprintf(&b, "%d of %d faults suffice:\n", len(enough), len(all))
	for _, f := range enough {
		fmt.Fprintf(&b, "\t#%d %s\n", f.n, f.text)
	}
	b.WriteString("timeline:\n")
	for _, line := range trial.timeline() {
		fmt.Fprintln(&b, indent(line))
	}
	fmt.Fprintf(&b, "to reproduce: Seed: %d, Runs: 1, Only: []int{%s}\n", seed, enough.numbers())
	return b.String()
}

func indent(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }

// shrink removes faults, in smaller and smaller groups, as long as the scenario still fails. It
// returns the faults that are left and the last failure, nil if there was none.
func (o Options) shrink(seed uint64, all schedule, scenario func(*Trial)) (left schedule, failure *Trial) {
	left = all
	started := time.Now()
	fails := func(s schedule) bool {
		for range tries {
			if time.Since(started) > budget {
				return false
			}
			if trial := o.runOnce(seed, s, scenario); trial.failed() {
				failure = trial
				return true
			}
		}
		return false
	}
	for size := len(left); size > 0; {
		smaller := false
		for at := 0; at < len(left); {
			without := slices.Delete(slices.Clone(left), at, min(at+size, len(left)))
			if fails(without) {
				left, smaller = without, true
			} else {
				at += size
			}
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return left, failure
}
