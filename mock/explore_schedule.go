package mock

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A schedule is the faults of one trial.
type schedule []planned

// A planned fault is one fault of a schedule. Faults are independent, so that any of them can
// be removed.
type planned struct {
	n    int // number in the schedule
	text string

	place int    // index in the script; -1 if not a fault of the feed
	steps []Step // inserted before the step at place

	call int    // of the store, counted from 0
	load *Fault // that a Load meets
	save *Fault // that a Save meets

	life time.Duration // after which a process ends
	kill bool          // without a chance to save
	away int           // events that are played before the next process starts
}

// schedule generates the faults of a seed.
func (e Exploration) schedule(seed uint64) schedule {
	if e.Faults < 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	all := make(schedule, 1+rng.IntN(e.Faults))
	for i := range all {
		switch n := rng.IntN(10); {
		case n < 6:
			all[i] = e.mishap(rng)
		case n < 9:
			all[i] = storeFault(rng)
		default:
			all[i] = death(rng)
		}
		all[i].n = i
	}
	return all
}

// mishap returns a fault of the feed.
func (e Exploration) mishap(rng *rand.Rand) planned {
	p := planned{place: rng.IntN(len(e.Script) + 1)}
	p.steps, p.text = e.trouble(rng, p.place)
	if last := &p.steps[len(p.steps)-1]; last.breaks() {
		if last.away = rng.IntN(4); last.away > 0 {
			p.text += fmt.Sprintf(", and %d events meanwhile,", last.away)
		}
	}
	where := "at the end"
	for _, s := range e.Script[min(p.place, len(e.Script)):] {
		if s.isEvent() {
			where = "before event " + label(s.frame.ID, s.frame.Data)
			break
		}
	}
	p.text += " " + where
	return p
}

// breaks reports whether no consumer is connected after the step.
func (s Step) breaks() bool { return s.turnsAway() || s.act == drops || s.act == ends }

// trouble returns the steps of a mishap and their description.
func (e Exploration) trouble(rng *rand.Rand, place int) ([]Step, string) {
	one := func(s Step) ([]Step, string) { return []Step{s}, s.act.String() }
	times := 1 + rng.IntN(3)
	d := time.Duration(rng.IntN(300_000)) * time.Millisecond
	switch n := rng.IntN(20); {
	case n < 4:
		return one(Drop())
	case n < 6:
		return one(End())
	case n < 8:
		return slices.Repeat([]Step{Refuse()}, times), fmt.Sprintf("refuse %d attempts", times)
	case n < 10:
		return slices.Repeat([]Step{Status(http.StatusServiceUnavailable)}, times), fmt.Sprintf("status 503 to %d attempts", times)
	case n == 10:
		after := strconv.Itoa(1 + rng.IntN(60))
		return []Step{Status(http.StatusTooManyRequests, http.Header{"Retry-After": {after}})}, "status 429 with Retry-After " + after
	case n == 17:
		outage := Refuse()
		outage.rest = d
		return []Step{outage}, "outage of " + d.String()
	case n < 13:
		return []Step{Pause(d)}, "pause for " + d.String()
	case n == 13:
		return one(Keepalive())
	case n == 14 && e.Stalls:
		return one(Stall())
	case n == 15 && e.Lossy:
		gone := Status(http.StatusGone)
		gone.resuming = true
		return []Step{gone}, "status 410 to a token"
	case n == 16 && e.Lossy:
		return []Step{Position("")}, "position reset"
	}
	for _, s := range slices.Backward(e.Script[:min(place, len(e.Script))]) {
		if s.isEvent() && s.frame.ID != "" {
			s.again = true
			return []Step{s}, "event " + label(s.frame.ID, s.frame.Data) + " repeated"
		}
	}
	return one(Drop())
}

// storeFault returns a fault of the store.
func storeFault(rng *rand.Rand) planned {
	p := planned{place: -1, call: rng.IntN(8)}
	d := time.Duration(1+rng.IntN(20_000)) * time.Millisecond
	var what string
	fault := &Fault{Err: errUnreachable}
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
		*fault, what = Fault{Stale: true}, "returns stale data"
	}
	p.load, p.text = fault, fmt.Sprintf("load %d %s", p.call+1, what)
	return p
}

// death returns the end of a process.
func death(rng *rand.Rand) planned {
	p := planned{place: -1, life: time.Duration(rng.IntN(60_000)) * time.Millisecond, kill: rng.IntN(2) == 0}
	p.away = rng.IntN(4)
	what := "stopped"
	if p.kill {
		what = "killed"
	}
	p.text = fmt.Sprintf("process %s after %v, and %d events meanwhile", what, p.life, p.away)
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

// script returns steps with the mishaps inserted.
func (s schedule) script(steps []Step) (all []Step) {
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

// faults returns the faults for the calls of the store, in order, with harmless ones for the
// calls between them.
func (s schedule) faults(of func(planned) *Fault) (all []*Fault) {
	due := slices.DeleteFunc(slices.Clone(s), func(p planned) bool { return of(p) == nil })
	slices.SortStableFunc(due, func(a, b planned) int { return a.call - b.call })
	next := 0
	for _, p := range due {
		if calm := p.call - next; calm > 0 {
			all = append(all, &Fault{Count: calm, harmless: true})
			next += calm
		}
		f := of(p)
		all = append(all, &Fault{Delay: f.Delay, Err: f.Err, Applied: f.Applied, Stale: f.Stale})
		next++
	}
	return all
}

// deaths returns the ends of processes, in order.
func (s schedule) deaths() schedule {
	return slices.DeleteFunc(slices.Clone(s), func(p planned) bool { return p.place >= 0 || p.load != nil || p.save != nil })
}
