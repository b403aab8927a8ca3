package main

import (
	"runtime"
	"time"
)

// A cost is what this process spends on an event: CPU time on all cores, in the kernel too.
// Wall time would depend on what else the machine does.
type cost struct{ ns, allocs float64 }

// spend returns the cost of one of the n events of run.
func spend(n int, run func(n int) error) (cost, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, err := cpuTime()
	if err != nil {
		return cost{}, err
	}
	if err := run(n); err != nil {
		return cost{}, err
	}
	end, err := cpuTime()
	runtime.ReadMemStats(&after)
	return cost{
		float64(end-start) / float64(n),
		float64(after.Mallocs-before.Mallocs) / float64(n),
	}, err
}

// fill returns about how many events make run take the CPU for span, but not fewer than least. The
// first ones also warm up the program.
func fill(span time.Duration, least int, run func(n int) error) (int, error) {
	const most = 1 << 24
	for n := least; ; n *= 8 {
		c, err := spend(n, run)
		if err != nil {
			return 0, err
		}
		if taken := c.ns * float64(n); taken > float64(span)/10 || n > most {
			return max(least, int(float64(span)/c.ns)), nil
		}
	}
}

// takeTurns measures each of runs count times, in turn, each with at least so many events, and
// returns the costs of each.
func takeTurns(span time.Duration, count, least int, runs []func(n int) error) ([][]cost, error) {
	sizes := make([]int, len(runs))
	for i, run := range runs {
		var err error
		if sizes[i], err = fill(span, least, run); err != nil {
			return nil, err
		}
	}
	costs := make([][]cost, len(runs))
	for range count {
		for i, run := range runs {
			c, err := spend(sizes[i], run)
			if err != nil {
				return nil, err
			}
			costs[i] = append(costs[i], c)
		}
	}
	return costs, nil
}
