package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A result is what a contest measured. Tables, charts and goals are made of results.
type result struct {
	Contest    string // its name
	Task, Size string
	Columns    []string // what is measured, with its unit; the first one is compared
	Rows       []row    // ratios are to the first one
	Theory     string   // how a growth's cost depends on its size, such as "constant"
}

// A row is the result of one entry.
type row struct {
	Name  string
	Ours  bool        // it is steadfeed
	Turns [][]float64 // for each turn, a number for each column
}

// named returns the row of an entry whose name shows whether it is steadfeed.
func named(entry string) row { return row{Name: entry, Ours: strings.HasPrefix(entry, "steadfeed")} }

// row returns the row of that name.
func (r *result) row(name string) (row, error) {
	i := slices.IndexFunc(r.Rows, func(each row) bool { return each.Name == name })
	if i < 0 {
		return row{}, fmt.Errorf("%s: no row %q", r.Contest, name)
	}
	return r.Rows[i], nil
}

// column returns the index of the column of that name; "" is the first one.
func (r *result) column(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	i := slices.Index(r.Columns, name)
	if i < 0 {
		return 0, fmt.Errorf("%s: no column %q", r.Contest, name)
	}
	return i, nil
}

// value returns the median of a column.
func (r row) value(column int) float64 {
	return median(len(r.Turns), func(turn int) float64 { return r.Turns[turn][column] })
}

// ratio returns the median of the ratios to the same turns of base, of the first column.
func (r row) ratio(base row) float64 {
	return median(len(r.Turns), func(turn int) float64 { return r.Turns[turn][0] / base.Turns[turn][0] })
}

// median returns the median of f over all turns.
func median(turns int, f func(turn int) float64) float64 {
	if turns == 0 {
		return math.NaN()
	}
	all := make([]float64, turns)
	for i := range all {
		all[i] = f(i)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// merge returns the results of several rounds as those of one round with more turns.
func merge(rounds [][]*result) (all []*result) {
	for i, first := range rounds[0] {
		m := *first
		m.Rows = slices.Clone(first.Rows)
		for _, round := range rounds[1:] {
			for j := range m.Rows {
				m.Rows[j].Turns = slices.Concat(m.Rows[j].Turns, round[i].Rows[j].Turns)
			}
		}
		all = append(all, &m)
	}
	return all
}
