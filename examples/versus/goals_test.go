package main

import (
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// A scripted contest returns results in turn.
type scripted struct {
	title   string
	rows    []string
	columns []string
	values  [][]float64 // for each run, the first column of each row
	only    *[]string   // the entries that were asked for
}

func (c *scripted) name() string      { return c.title }
func (c *scripted) entries() []string { return c.rows }

func (c *scripted) measure(s settings) (*result, error) {
	if c.only != nil {
		*c.only = s.only
	}
	r := &result{Task: c.title, Columns: c.columns}
	for i, name := range c.rows {
		turn := slices.Repeat([]float64{c.values[0][i]}, len(c.columns))
		line := named(name)
		for range s.turns {
			line.Turns = append(line.Turns, turn)
		}
		r.Rows = append(r.Rows, line)
	}
	c.values = c.values[1:]
	return r, nil
}

// versusGWS returns a contest that a goal limits to 1.1 times gws, with these ratios in five runs.
func versusGWS(ratios ...float64) *scripted {
	c := &scripted{title: "Subscribe WebSocket/64KiB", rows: []string{"steadfeed", "gws"}, columns: []string{"ns/event", "allocs/event"}}
	for _, r := range ratios {
		c.values = append(c.values, []float64{r * 0.01, 0.01}) // so that the goal for allocations is met
	}
	return c
}

// TestCheckFailsAfterThreeOfFiveRuns checks the rule: missed by more than 15 % in three of five runs.
func TestCheckFailsAfterThreeOfFiveRuns(t *testing.T) {
	const limit, far, near = 1.1, 1.1 * 1.16, 1.1 * 1.14
	for name, c := range map[string]struct {
		ratios []float64
		fails  bool
		state  string
	}{
		"met":         {[]float64{1, 0.9, 1, limit - 0.01, 1}, false, "met"},
		"near":        {[]float64{near, near, near, near, near}, false, "near"},
		"two of five": {[]float64{far, 1, 9, 1, 1}, false, "met"},
		"three":       {[]float64{far, 1, far, 1, far}, true, "FAILED"},
		"not finite":  {[]float64{math.NaN(), math.NaN(), math.NaN(), 1, 1}, true, "FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			var only []string
			five := versusGWS(c.ratios...)
			five.only = &only
			cmd := command{settings: settings{turns: 3}, progress: io.Discard}
			err := cmd.checked(&out, []contest{five})
			if (err != nil) != c.fails {
				t.Errorf("check: got error %v, want one: %t", err, c.fails)
			}
			if err != nil && !strings.Contains(err.Error(), "Subscribe WebSocket/64KiB: steadfeed, at most 1.1 × gws: missed by more than 15 % in 3 of 5 runs") {
				t.Errorf("check: got error %v, want one that names the goal", err)
			}
			if !strings.HasPrefix(strings.Split(out.String(), "\n")[1], c.state+" ") {
				t.Errorf("got the report\n%swant the goal %s", &out, c.state)
			}
			if !slices.Contains(only, "steadfeed") || !slices.Contains(only, "gws") {
				t.Errorf("got the entries %q, want those of the goal", only)
			}
		})
	}
}

func TestCheckWithoutGoals(t *testing.T) {
	cmd := command{settings: settings{turns: 1}, progress: io.Discard}
	if err := cmd.checked(io.Discard, []contest{&scripted{title: "Nothing"}}); err == nil {
		t.Error("check of a contest without a goal: got no error, want one")
	}
}

// TestGoalNumbers checks what a goal compares.
func TestGoalNumbers(t *testing.T) {
	r := &result{Contest: "c", Columns: []string{"ns/event", "MB/s"}, Rows: []row{
		{Name: "a", Turns: [][]float64{{10, 100}, {30, 50}, {20, 75}}},
		{Name: "b", Turns: [][]float64{{5, 1}, {30, 3}, {40, 2}}},
	}}
	for name, c := range map[string]struct {
		goal   goal
		number float64
		excess float64
	}{
		"of the same turns": {goal{Row: "a", Yardstick: "b", Limit: 2}, 1, 0.5},
		"absolute":          {goal{Row: "a", Limit: 10}, 20, 2},
		"a column":          {goal{Row: "a", Column: "MB/s", Limit: 150}, 75, 0.5},
		"the worst row":     {goal{Limit: 60}, 30, 0.5},
	} {
		got, err := c.goal.number(r)
		if err != nil || got != c.number || c.goal.excess(got) != c.excess {
			t.Errorf("%s: got %g, excess %g, error %v; want %g and %g", name, got, c.goal.excess(got), err, c.number, c.excess)
		}
	}
	for _, g := range []goal{{Row: "none"}, {Row: "a", Yardstick: "none"}, {Row: "a", Column: "none"}} {
		if _, err := g.number(r); err == nil {
			t.Errorf("goal %+v: got no error, want one", g)
		}
	}
}

// TestGoalsNameEntries checks that each goal is about a contest and its entries.
func TestGoalsNameEntries(t *testing.T) {
	all := contests("http://127.0.0.1")
	for _, g := range goals() {
		i := slices.IndexFunc(all, func(c contest) bool { return c.name() == g.Contest })
		if i < 0 {
			t.Errorf("%v: got no contest of that name, want one", g)
			continue
		}
		for _, name := range []string{g.Row, g.Yardstick} {
			if name != "" && !slices.Contains(all[i].entries(), name) {
				t.Errorf("%v: got the entries %q, want %q among them", g, all[i].entries(), name)
			}
		}
	}
}

// TestIdleGoals measures a few idle connections and judges them, so that the goals' columns exist.
func TestIdleGoals(t *testing.T) {
	url := server(t)
	cmd := command{settings: settings{turns: 1, idle: 3}, progress: io.Discard}
	results, err := cmd.round(idling(url), nil)
	if err != nil {
		t.Fatal(err)
	}
	verdicts, err := judge(goals(), [][]*result{results})
	if err != nil || len(verdicts) != 3 {
		t.Fatalf("judge: got %d verdicts and error %v, want 3", len(verdicts), err)
	}
	for _, v := range verdicts {
		if m := v.Median(); m == 0 || !(math.Abs(m) < 1000) { // a difference of three connections may be negative
			t.Errorf("%v: got %g, want a plausible number", v.goal, v.Median())
		}
	}
}

// TestGrowthLoads runs each growth with its smallest sizes.
func TestGrowthLoads(t *testing.T) {
	url := server(t)
	for _, g := range growths() {
		t.Run(g.name(), func(t *testing.T) {
			g.sizes = g.sizes[:2]
			res, err := growthContest{g, url}.measure(settings{span: time.Millisecond, turns: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range res.Rows {
				if cost := line.value(0); cost <= 0 {
					t.Errorf("%s: got %g ns, want more", line.Name, cost)
				}
			}
			if got := res.Rows[0].value(len(res.Columns) - 1); got != 1 {
				t.Errorf("growth of the first size: got %g, want 1", got)
			}
		})
	}
}
