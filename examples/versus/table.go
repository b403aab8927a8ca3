package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"text/tabwriter"
)

// A score is the result of one library's runs of a contest.
type score struct {
	ns     float64 // of an event, the median of the runs
	allocs float64 // of an event, in that run
}

// measure runs the libraries in turn, count times, and returns a score for each.
func (c contest) measure(count int) ([]score, error) {
	runs := make([][]score, len(c.entries))
	for range count {
		for i, e := range c.entries {
			s, err := c.once(e)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c.name(), e.library, err)
			}
			runs[i] = append(runs[i], s)
		}
	}
	scores := make([]score, len(runs))
	for i, r := range runs {
		slices.SortFunc(r, func(a, b score) int { return int(a.ns*1000 - b.ns*1000) })
		scores[i] = r[len(r)/2]
	}
	return scores, nil
}

func (c contest) once(e entry) (score, error) {
	if err := e.read(10, new(tally)); err != nil { // testing.Benchmark does not return errors
		return score{}, err
	}
	r := testing.Benchmark(c.bench(e))
	if r.N == 0 {
		return score{}, errors.New("the benchmark failed")
	}
	n := float64(r.N)
	return score{float64(r.T.Nanoseconds()) / n, float64(r.MemAllocs) / n}, nil
}

// A table shows scores.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t, "task\tpayload\tlibrary\tns/event\tMB/s\tallocs/event\tratio")
	return t
}

func (t table) add(c contest, scores []score) {
	for i, s := range scores {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%.0f\t%.2f\t%.2f\n", c.task, sizeName(c.size), c.entries[i].library,
			s.ns, float64(c.wire)/s.ns*1000, s.allocs, s.ns/scores[0].ns)
	}
}
