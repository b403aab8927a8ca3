package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A page shows results as charts.
type page struct {
	facts
	Method string // how often and how long it was measured
	Goals  []goalView
	Met    int
	Failed int
	Groups []group
}

// facts are where and when the results were measured.
type facts struct {
	Date, Machine, Go string
	Modules           []module
}

type module struct{ Path, Version string }

// A goalView shows a verdict. Width and Mark are percentages: of the measured number and the limit.
type goalView struct {
	State, Contest, What string
	Number, Limit        string
	Runs                 string
	Width, Mark          float64
}

// A group is a part of the page.
type group struct {
	ID, Title, Note string
	Charts          []chart
}

type chart struct {
	Task, Size, Unit, Note string
	Bars                   []bar
}

type bar struct {
	Name, Value, Ratio, More string
	Width                    float64 // percentage of the longest
	Ours                     bool
}

// A part is a group before it has charts: of the results whose task has one of the prefixes.
type part struct {
	prefixes        []string
	id, title, note string
}

// parts are in the order of the page. A result belongs to the first that fits; the last one fits all.
var parts = []part{
	{[]string{"Subscribe"}, "path", "From a server to the program",
		"A server in another process sends over loopback. Wall time for an event, until the program has looked at it."},
	{[]string{"Webhook", "Techniques"}, "webhooks", "Webhooks",
		"CPU time of the receiving process for a request, in the kernel too. The floor is a net/http handler that reads the request and drops it."},
	{[]string{"Idle"}, "idle", "Idle connections", "Memory of a connection that is silent after one event: heap and stacks."},
	{[]string{"Growth"}, "growth", "Growth",
		"CPU time for an event while one size grows. A bar is the cost divided by its theory; “growth” compares it with the best of the smaller sizes."},
	{[]string{""}, "parsers", "Parsers", "Read from memory, without a server. “lent” data is overwritten by the next event; other data of steadfeed may be kept."},
}

func (p part) has(r *result) bool {
	return slices.ContainsFunc(p.prefixes, func(prefix string) bool { return strings.HasPrefix(r.Task, prefix) })
}

// writePage writes the page that the command asks for, if it does.
func (c command) writePage(rounds [][]*result) error {
	if c.html == "" {
		return nil
	}
	verdicts, err := judge(goals(), rounds)
	if err != nil {
		return err
	}
	p := newPage(merge(rounds), verdicts, theseFacts(time.Now()))
	p.Method = fmt.Sprintf("%d measurements of %v each, medians", c.turns*len(rounds), c.span)
	f, err := os.Create(c.html)
	if err != nil {
		return err
	}
	if err := p.write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (p page) write(w io.Writer) error { return pageTemplate.Execute(w, p) }

func newPage(results []*result, verdicts []verdict, f facts) page {
	p := page{facts: f}
	for _, v := range verdicts {
		p.Goals = append(p.Goals, newGoalView(v))
		if v.Failed() {
			p.Failed++
		} else if v.Met() {
			p.Met++
		}
	}
	charts := make([][]chart, len(parts))
	for _, r := range results {
		i := slices.IndexFunc(parts, func(each part) bool { return each.has(r) })
		charts[i] = append(charts[i], newChart(r))
	}
	for i, each := range parts {
		if len(charts[i]) > 0 {
			p.Groups = append(p.Groups, group{each.id, each.title, each.note, charts[i]})
		}
	}
	return p
}

func newGoalView(v verdict) goalView {
	const full = 2.0 // times the limit at which a bar ends
	g := goalView{State: v.State(), Contest: v.Contest, Number: number(v.Median()), Mark: 100 / full}
	g.Width = min(v.Median()/v.Limit/full, 1) * 100
	g.What, g.Limit = v.what()
	for i, n := range v.Numbers {
		if i > 0 {
			g.Runs += " "
		}
		g.Runs += number(n)
	}
	return g
}

func newChart(r *result) chart {
	c := chart{Task: r.Task, Size: r.Size, Unit: r.Columns[0]}
	show := number
	if what, per, ok := strings.Cut(r.Columns[0], "ns/"); ok {
		c.Unit, show = what+"time for each "+per, duration
	}
	length := 0 // index of the column that the bars show
	if r.Theory != "" {
		c.Note = "theory: " + r.Theory
		length, _ = r.column(theoryColumn)
	} else if !r.Rows[0].Ours {
		c.Note = "ratio to " + r.Rows[0].Name
	}
	longest := 0.0
	for _, line := range r.Rows {
		longest = max(longest, line.value(length))
	}
	for _, line := range r.Rows {
		b := bar{Name: line.Name, Value: show(line.value(0)), Ours: line.Ours, Width: line.value(length) / longest * 100}
		b.Ratio = fmt.Sprintf("%.2f×", line.ratio(r.Rows[0]))
		for i, name := range r.Columns[1:] {
			if name == growthColumn {
				b.Ratio = fmt.Sprintf("%.2f×", line.value(i+1))
				continue
			}
			if b.More != "" {
				b.More += ", "
			}
			b.More += number(line.value(i+1)) + " " + name
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}

// duration formats nanoseconds.
func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return number(ns/1e6) + " ms"
	case ns >= 1e4:
		return number(ns/1e3) + " µs"
	}
	return number(ns) + " ns"
}

// theseFacts returns the facts of this process.
func theseFacts(now time.Time) facts {
	f := facts{
		Date:    now.Format("2 January 2006, 15:04 MST"),
		Machine: fmt.Sprintf("%s, %d CPUs, %s/%s", cpuModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		Go:      runtime.Version(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return f
	}
	for _, m := range info.Deps {
		version := m.Version
		if m.Replace != nil && m.Replace.Version == "" {
			version = "working copy"
		}
		f.Modules = append(f.Modules, module{m.Path, version})
	}
	return f
}

// cpuModel returns the name of the CPU where Linux shows it.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}
