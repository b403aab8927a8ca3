package explore

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/bridge"
)

// A schedule is the faults of one trial.
type schedule []planned

// A planned fault is one fault of a schedule. Faults are independent, so that any of them can
// be removed.
type planned struct {
	n    int // number in the schedule
	text string

	place int         // index in the script; -1 if not a fault of the feed
	steps []mock.Step // inserted before the step at place

	call int         // of the store, counted from 0
	load *mock.Fault // that a Load meets
	save *mock.Fault // that a Save meets

	after time.Duration // after which a process ends
	kill  bool          // without a chance to save
	away  int           // events that are played before the next process starts
}

// schedule generates the faults of a seed.
func (o Options) schedule(seed uint64) schedule {
	if o.Faults < 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	all := make(schedule, 1+rng.IntN(o.Faults))
	for i := range all {
		switch n := rng.IntN(10); {
		case n < 6:
			all[i] = o.feedFault(rng)
		case n < 9:
			all[i] = storeFault(rng)
		default:
			all[i] = processEnd(rng)
		}
		all[i].n = i
	}
	return all
}

// feedFault returns a fault of the feed.
func (o Options) feedFault(rng *rand.Rand) planned {
	p := planned{place: rng.IntN(len(o.Script) + 1)}
	p.steps, p.text = o.feedSteps(rng, p.place)
	if last := &p.steps[len(p.steps)-1]; bridge.StepOf(*last).Breaks {
		if away := rng.IntN(4); away > 0 {
			bridge.ExtraOf(last).Away = away
			p.text += fmt.Sprintf(", and %d events meanwhile,", away)
		}
	}
	where := "at the end"
	for _, s := range o.Script[min(p.place, len(o.Script)):] {
		if step := bridge.StepOf(s); step.Event {
			where = "before event " + step.Label
			break
		}
	}
	p.text += " " + where
	return p
}

// feedSteps returns the steps of a fault of the feed and their description.
func (o Options) feedSteps(rng *rand.Rand, place int) ([]mock.Step, string) {
	one := func(s mock.Step) ([]mock.Step, string) { return []mock.Step{s}, bridge.StepOf(s).Kind }
	times := 1 + rng.IntN(3)
	d := time.Duration(rng.IntN(300_000)) * time.Millisecond
	switch n := rng.IntN(20); {
	case n < 4:
		return one(mock.Drop())
	case n < 6:
		return one(mock.End())
	case n < 8:
		return slices.Repeat([]mock.Step{mock.Refuse()}, times), fmt.Sprintf("refuse %d attempts", times)
	case n < 10:
		return slices.Repeat([]mock.Step{mock.Status(http.StatusServiceUnavailable)}, times), fmt.Sprintf("status 503 to %d attempts", times)
	case n == 10:
		after := strconv.Itoa(1 + rng.IntN(60))
		return []mock.Step{mock.Status(http.StatusTooManyRequests, http.Header{"Retry-After": {after}})}, "status 429 with Retry-After " + after
	case n == 17:
		outage := mock.Refuse()
		bridge.ExtraOf(&outage).Outage = d
		return []mock.Step{outage}, "outage of " + d.String()
	case n < 13:
		return []mock.Step{mock.Pause(d)}, "pause for " + d.String()
	case n == 13:
		return one(mock.Keepalive())
	case n == 14 && o.Stalls:
		return one(mock.Stall())
	case n == 15 && o.Lossy:
		gone := mock.Status(http.StatusGone)
		bridge.ExtraOf(&gone).Resuming = true
		return []mock.Step{gone}, "status 410 to a token"
	case n == 16 && o.Lossy:
		return []mock.Step{mock.Frame(decode.Frame{Kind: decode.KindPosition})}, "position reset"
	}
	for _, s := range slices.Backward(o.Script[:min(place, len(o.Script))]) {
		if step := bridge.StepOf(s); step.Event && step.Frame.ID != "" {
			bridge.ExtraOf(&s).Again = true
			return []mock.Step{s}, "event " + step.Label + " repeated"
		}
	}
	return one(mock.Drop())
}

// storeFault returns a fault of the store.
func storeFault(rng *rand.Rand) planned {
	p := planned{place: -1, call: rng.IntN(8)}
	d := time.Duration(1+rng.IntN(20_000)) * time.Millisecond
	var what string
	fault := &mock.Fault{Err: errUnreachable}
	switch rng.IntN(4) {
	case 0:
		what = "fails"
	case 1:
		fault.Delay = d
		what = "fails after " + d.String()
	case 2:
		fault.Delay, fault.Err = d, nil
		what = "takes " + d.String()
	case 3:
		fault.Applied = true
		what = "fails but takes effect"
	}
	if rng.IntN(3) > 0 {
		p.save, p.text = fault, fmt.Sprintf("save %d %s", p.call+1, what)
		return p
	}
	if fault.Applied {
		*fault, what = mock.Fault{Stale: true}, "returns stale data"
	}
	p.load, p.text = fault, fmt.Sprintf("load %d %s", p.call+1, what)
	return p
}

// processEnd returns the end of a process.
func processEnd(rng *rand.Rand) planned {
	p := planned{place: -1, after: time.Duration(rng.IntN(60_000)) * time.Millisecond, kill: rng.IntN(2) == 0}
	p.away = rng.IntN(4)
	what := "stopped"
	if p.kill {
		what = "killed"
	}
	p.text = fmt.Sprintf("process %s after %v, and %d events meanwhile", what, p.after, p.away)
	return p
}

// keep returns the faults with the given numbers, all of them for nil.
func (s schedule) keep(numbers []int) schedule {
	if numbers == nil {
		return s
	}
	return slices.DeleteFunc(slices.Clone(s), func(p planned) bool { return !slices.Contains(numbers, p.n) })
}

func (s schedule) numbers() string {
	var all []string
	for _, p := range s {
		all = append(all, strconv.Itoa(p.n))
	}
	return strings.Join(all, ", ")
}

// script returns steps with the faults of the feed inserted.
func (s schedule) script(steps []mock.Step) (all []mock.Step) {
	for place := range len(steps) + 1 {
		for _, p := range s {
			if p.place == place {
				all = append(all, p.steps...)
			}
		}
		if place < len(steps) {
			all = append(all, steps[place])
		}
	}
	return all
}

// plan sets the faults for the calls of a store, in order, with add, after pass for the calls
// between them that have none.
func (s schedule) plan(of func(planned) *mock.Fault, pass func(n int), add func(*mock.Fault)) {
	due := slices.DeleteFunc(slices.Clone(s), func(p planned) bool { return of(p) == nil })
	slices.SortStableFunc(due, func(a, b planned) int { return a.call - b.call })
	next := 0
	for _, p := range due {
		if without := p.call - next; without > 0 {
			pass(without)
			next += without
		}
		f := of(p)
		add(&mock.Fault{Delay: f.Delay, Err: f.Err, Applied: f.Applied, Stale: f.Stale})
		next++
	}
}

// processEnds returns the ends of processes, in order.
func (s schedule) processEnds() schedule {
	return slices.DeleteFunc(slices.Clone(s), func(p planned) bool { return p.place >= 0 || p.load != nil || p.save != nil })
}
