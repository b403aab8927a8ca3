package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// A goal limits a number of a contest's row. The number is the row's value divided by that of the
// yardstick in the same turns or, without a yardstick, a column of the row.
type goal struct {
	Contest, Row string // without a Row, the row with the highest number counts
	Yardstick    string // a row
	Column       string // default: the first one
	Limit        float64
}

const (
	// checkRuns is the number of runs of which most must miss a goal before it has failed.
	checkRuns = 5
	// tolerance is how far beyond its limit a number may be, because machines are noisy.
	tolerance = 1.15
)

// goals returns the goals of steadfeed.
func goals() (all []goal) {
	for _, size := range socketSizes {
		contest, limit := "Subscribe WebSocket/"+sizeName(size), 1.0
		if size == 64<<10 {
			limit = 1.1
		}
		all = append(all,
			goal{Contest: contest, Row: "steadfeed", Yardstick: "gws", Limit: limit},
			goal{Contest: contest, Row: "steadfeed", Column: "allocs/event", Limit: 0.1})
	}
	all = append(all,
		goal{Contest: "Idle WebSocket", Row: "steadfeed", Column: "KiB each", Limit: 16},
		goal{Contest: "Idle WebSocket", Row: "steadfeed", Column: "goroutines each", Limit: 1},
		goal{Contest: "Idle HTTP stream", Row: "steadfeed", Column: "KiB over net/http", Limit: 12})
	for _, scheme := range []string{gitHub, standard, stripeV1} {
		for _, size := range hookSizes {
			all = append(all, goal{Contest: hookContest{scheme: scheme, size: size}.name(), Row: "steadfeed AckAfterHandling", Yardstick: byChannel, Limit: 1.1})
		}
	}
	for _, size := range sizes[1:] {
		limit := 1.0
		if size == 430 {
			limit = 1.1
		}
		all = append(all, goal{Contest: "Subscribe NDJSON/" + sizeName(size), Row: "steadfeed", Yardstick: "bufio.Scanner", Limit: limit})
	}
	for _, size := range sizes {
		all = append(all, goal{Contest: "Subscribe SSE/" + sizeName(size), Row: "steadfeed", Yardstick: "openai-go", Limit: 1})
	}
	// 1.5 GB/s on a machine where utf8.Valid checks 8 GB/s.
	all = append(all, goal{Contest: "JSON check and field/1.5KB", Row: "steadfeed StrictJSON", Yardstick: "utf8.Valid", Limit: 5.3})
	for _, g := range growths() {
		all = append(all, goal{Contest: g.name(), Column: growthColumn, Limit: g.factor})
	}
	return all
}

// what returns what is limited, and the limit with its unit.
func (g goal) what() (row, limit string) {
	row, unit := g.Row, g.Column
	switch {
	case g.Yardstick != "":
		unit = "× " + g.Yardstick
	case g.Column == growthColumn:
		row, unit = "each size", "× the theory"
	}
	return row, fmt.Sprintf("at most %g %s", g.Limit, unit)
}

// String describes the goal.
func (g goal) String() string {
	row, limit := g.what()
	return fmt.Sprintf("%s: %s, %s", g.Contest, row, limit)
}

// number returns what the goal limits.
func (g goal) number(r *result) (float64, error) {
	column, err := r.column(g.Column)
	if err != nil {
		return 0, err
	}
	if g.Row == "" {
		worst := math.Inf(-1)
		for _, each := range r.Rows {
			worst = max(worst, each.value(column))
		}
		return worst, nil
	}
	line, err := r.row(g.Row)
	if err != nil {
		return 0, err
	}
	if g.Yardstick == "" {
		return line.value(column), nil
	}
	base, err := r.row(g.Yardstick)
	if err != nil {
		return 0, err
	}
	return line.ratio(base), nil
}

// excess returns how far a number is beyond the limit: above 1 it misses the goal.
func (g goal) excess(number float64) float64 { return number / g.Limit }

// needed returns the entries that the goals need of each of these contests.
func needed(goals []goal, all []contest) map[string][]string {
	needs := make(map[string][]string)
	for _, each := range all {
		for _, g := range goals {
			switch {
			case g.Contest != each.name():
			case g.Row == "":
				needs[g.Contest] = append(needs[g.Contest], each.entries()...)
			default:
				needs[g.Contest] = append(needs[g.Contest], g.Row, g.Yardstick)
			}
		}
	}
	return needs
}

// A verdict is about one goal after some runs.
type verdict struct {
	goal
	Numbers []float64 // one of each run
	Missed  int       // runs that missed the limit by more than the tolerance
}

// Failed reports whether most runs missed the goal.
func (v verdict) Failed() bool { return v.Missed*2 > len(v.Numbers) }

// Median returns the median of the runs.
func (v verdict) Median() float64 {
	return median(len(v.Numbers), func(i int) float64 { return v.Numbers[i] })
}

// Met reports whether the median run met the goal without tolerance.
func (v verdict) Met() bool { return v.excess(v.Median()) <= 1 }

// State is "met", "near" if the median is within the tolerance, or "FAILED".
func (v verdict) State() string {
	switch {
	case v.Failed():
		return "FAILED"
	case v.Met():
		return "met"
	}
	return "near"
}

// judge returns the verdicts on the goals whose contests were measured.
func judge(goals []goal, rounds [][]*result) (all []verdict, err error) {
	for _, g := range goals {
		v := verdict{goal: g}
		for _, results := range rounds {
			i := slices.IndexFunc(results, func(r *result) bool { return r.Contest == g.Contest })
			if i < 0 {
				continue
			}
			n, err := g.number(results[i])
			if err != nil {
				return nil, err
			}
			v.Numbers = append(v.Numbers, n)
			if !(g.excess(n) <= tolerance) { // NaN misses, too
				v.Missed++
			}
		}
		if len(v.Numbers) > 0 {
			all = append(all, v)
		}
	}
	return all, nil
}

func writeVerdicts(w io.Writer, all []verdict) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "result\tmedian\tgoal\tof each run")
	for _, v := range all {
		fmt.Fprintf(out, "%s\t%s\t%s\t", v.State(), number(v.Median()), v.goal)
		for i, n := range v.Numbers {
			if i > 0 {
				fmt.Fprint(out, " ")
			}
			fmt.Fprint(out, number(n))
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

// failures returns an error that names the goals that have failed.
func failures(all []verdict) error {
	var errs []error
	for _, v := range all {
		if v.Failed() {
			errs = append(errs, fmt.Errorf("%s: missed by more than 15 %% in %d of %d runs", v.goal, v.Missed, len(v.Numbers)))
		}
	}
	return errors.Join(errs...)
}
