package mock

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// An Exploration says which schedules [Explore] plays.
type Exploration struct {
	// Bubble runs f in a bubble of testing/synctest, which is the caller's because this
	// package does not import testing. Required.
	//
	//	func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
	Bubble func(f func())

	// Script is what the feed plays when nothing goes wrong. Default: events with the
	// ids 1 to 20, a second apart, and Complete.
	Script []Step

	// Seed is that of the first schedule. The next ones follow on it. Default 1.
	Seed uint64

	// Runs is how many schedules are played. Default 100.
	Runs int

	// Faults is how many faults a schedule has at most. Negative: none. Default 12.
	Faults int

	// Stalls has connections fall silent for good, too. The consumer must be one that
	// gives them up, as transport.HTTP does and a Feed without a wire does not. Default
	// false.
	Stalls bool

	// Lossy has the feed reject a token (410) and take one back (an empty Position),
	// too, after which only a Gap accounts for what is missing. Default false.
	Lossy bool

	// Limit is how much of the bubble's time a scenario may take. Negative: no limit.
	// Default 24 h.
	Limit time.Duration

	// Only keeps these of the faults of a schedule, by number. With Seed and Runs it
	// repeats a failure that Explore has reported. Default, when nil: all.
	Only []int
}

// Explore calls scenario again and again, each time in a bubble with a feed and a store to
// which other things happen: connections break, attempts fail, the feed pauses and
// repeats itself, calls of the store fail, take effect late or lie about it, and processes
// are stopped and killed.
//
// The first schedule with which the scenario fails is reported on t, once: what failed,
// the faults that are enough for it to fail, what happened in what order, and the
// Exploration that repeats it. It has failed when it calls Errorf of its Trial, panics,
// leaves a goroutine behind, waits for ever, takes longer than Limit, or returns while
// there are events in the script.
//
// A seed fixes what happens to the scenario, but not the order in which goroutines run at
// one instant; the report says how often the failure came back.
func Explore(t TB, e Exploration, scenario func(*Trial)) {
	t.Helper()
	if e.Bubble == nil {
		t.Errorf("mock: an Exploration needs a Bubble")
		return
	}
	e = e.withDefaults()
	for i := range e.Runs {
		seed := e.Seed + uint64(i)
		all := e.schedule(seed).keep(e.Only)
		if e.play(seed, all, scenario).failed() {
			t.Errorf("%s", e.report(seed, i, all, scenario))
			return
		}
	}
}

func (e Exploration) withDefaults() Exploration {
	if e.Script == nil {
		for n := 1; n <= 20; n++ {
			e.Script = append(e.Script, Event(fmt.Sprint(n), fmt.Sprintf(`{"id":"%d"}`, n)), Pause(time.Second))
		}
		e.Script = append(e.Script, Complete())
	}
	e.Seed = max(e.Seed, 1)
	if e.Runs == 0 {
		e.Runs = 100
	}
	if e.Faults == 0 {
		e.Faults = 12
	}
	if e.Limit == 0 {
		e.Limit = 24 * time.Hour
	}
	return e
}

// play runs the scenario once.
func (e Exploration) play(seed uint64, s schedule, scenario func(*Trial)) (trial *Trial) {
	trial = newTrial(seed)
	defer func() {
		if p := recover(); p != nil { // the bubble's: a goroutine is left, or everybody waits
			trial.start = time.Time{} // which was the bubble's time
			trial.Errorf("%v", p)
		}
	}()
	e.Bubble(func() {
		trial.begin(e, s)
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
	repeats = 5                // of a failure, to see whether the schedule brings it about
	tries   = 3                // of a smaller schedule before it counts as sound
	budget  = 20 * time.Second // of real time for making a schedule smaller
)

// report tells all about a failure.
func (e Exploration) report(seed uint64, before int, all schedule, scenario func(*Trial)) string {
	again := 0
	for range repeats {
		if e.play(seed, all, scenario).failed() {
			again++
		}
	}
	enough, trial := e.shrink(seed, all, scenario)
	if trial == nil {
		trial = e.play(seed, all, scenario)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mock: the scenario fails with seed %d, after %d without a failure; repeated, it failed %d times of %d\n", seed, before, again, repeats)
	for _, err := range trial.errors() {
		fmt.Fprintln(&b, indent(err))
	}
	fmt.Fprintf(&b, "%d of %d faults are enough for it:\n", len(enough), len(all))
	for _, f := range enough {
		fmt.Fprintf(&b, "\t#%d %s\n", f.n, f.text)
	}
	b.WriteString("what happened:\n")
	for _, line := range trial.timeline() {
		fmt.Fprintln(&b, indent(line))
	}
	fmt.Fprintf(&b, "to repeat it: Seed: %d, Runs: 1, Only: []int{%s}\n", seed, enough.numbers())
	return b.String()
}

func indent(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }

// shrink leaves out faults, in smaller and smaller pieces, as long as the scenario still
// fails. It returns what is left and the last failure, nil if there was none.
func (e Exploration) shrink(seed uint64, all schedule, scenario func(*Trial)) (left schedule, failure *Trial) {
	left = all
	begun := time.Now()
	fails := func(s schedule) bool {
		for range tries {
			if time.Since(begun) > budget {
				return false
			}
			if trial := e.play(seed, s, scenario); trial.failed() {
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
