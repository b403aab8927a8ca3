package monitorpage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

//go:embed script.js
var scriptJS string

// An asset is what the page consists of.
type asset struct {
	html   *template.Template
	policy string
}

// assets are made at the first request, for programs that never show the page.
var assets = sync.OnceValue(func() asset {
	funcs := template.FuncMap{
		"css": func() template.CSS { return template.CSS(styleCSS) },
		"js":  func() template.JS { return template.JS(scriptJS) },
	}
	policy := "default-src 'none'; style-src " + hash(styleCSS) + "; script-src " + hash(scriptJS) +
		"; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return asset{template.Must(template.New("").Funcs(funcs).Parse(pageHTML)), policy}
})

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// A heading is the head of a column: a link that sorts by it.
type heading struct {
	Title, Link, Arrow string
	Number             bool
}

func (v *view) Headings() []heading {
	columns := []struct{ key, title string }{{"health", "Health"}, {"name", "Name"}, {"state", "State"}, {"since", "Since"},
		{"rate", "Events/s"}, {"lag", "Lag"}, {"buffer", "Buffer"}, {"oldest", "Oldest"}, {"failures", "Failures"},
		{"gaps", "Gaps"}, {"checkpoint", "Saved"}}
	var list []heading
	for n, c := range columns {
		h := heading{Title: c.title, Link: v.query.link(c.key, 1), Number: n > 2}
		switch v.query.Sort {
		case c.key:
			h.Link, h.Arrow = v.query.link("-"+c.key, 1), "↓"
		case "-" + c.key:
			h.Arrow = "↑"
		}
		list = append(list, h)
	}
	return list
}

// A filter is a link that shows only one health.
type filter struct {
	Health, Link string
	Count        int
	Current      bool
}

func (v *view) Filters() []filter {
	link := func(health string) string {
		q := v.query
		q.Health = health
		return q.link(q.Sort, 1)
	}
	list := []filter{{"all", link(""), v.Total, v.query.Health == ""}}
	for _, h := range healths {
		if n := v.Healths[h]; n > 0 || h == v.query.Health {
			list = append(list, filter{h, link(h), n, h == v.query.Health})
		}
	}
	return list
}

func (v *view) Query() query     { return v.query }
func (v *view) Previous() string { return v.neighbour(-1) }
func (v *view) Next() string     { return v.neighbour(1) }
func (v *view) CanAct() bool     { return v.actions && !v.One.Closed && v.One.State != "ended" }

// Range returns which subscriptions of how many are in the list.
func (v *view) Range() string {
	first := (v.Page - 1) * perPage
	return fmt.Sprintf("%d to %d of %d", first+1, first+len(v.List), v.Matches)
}

// Title returns what a tab of a browser shows.
func (v *view) Title() string {
	switch ill := v.Ill(); {
	case v.One != nil && ill > 0:
		return v.One.Health + ": " + v.One.Label()
	case v.One != nil:
		return v.One.Label()
	case ill > 0:
		return fmt.Sprintf("(%d) Feeds", ill)
	}
	return "Feeds"
}

// Icon returns a dot for the tab of a browser: red if something is ill.
func (v *view) Icon() template.URL {
	color := "1d8a47"
	if v.Ill() > 0 {
		color = "d92d20"
	}
	return template.URL("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E" +
		"%3Ccircle cx='8' cy='8' r='7' fill='%23" + color + "'/%3E%3C/svg%3E")
}

// JSON returns the address of what the page shows for programs.
func (v *view) JSON() string {
	if v.One != nil {
		return fmt.Sprintf("?id=%d&format=json", v.One.ID)
	}
	link := v.query.link(v.query.Sort, v.Page)
	if link != "?" {
		link += "&"
	}
	return link + "format=json"
}

func (v *view) neighbour(step int) string {
	if n := v.Page + step; n >= 1 && n <= v.Pages {
		return v.query.link(v.query.Sort, n)
	}
	return ""
}

// Ago returns how long ago t was.
func (v *view) Ago(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return seconds(max(v.Time.Sub(t), 0))
}

// Until returns how long t is away; "" if it is over or unknown.
func (v *view) Until(t time.Time) string {
	if t.Before(v.Time) {
		return ""
	}
	return seconds(t.Sub(v.Time))
}

// seconds is span for what changes all the time.
func seconds(d time.Duration) string {
	if d < time.Second {
		return "<1 s"
	}
	return span(d)
}

func (i *item) Label() string {
	if strings.TrimSpace(i.Name) == "" {
		return fmt.Sprintf("#%d", i.ID)
	}
	return i.Name
}

func (i *item) RateText() string {
	if i.Rate == 0 {
		return "0"
	}
	return fmt.Sprintf("%.3g", i.Rate)
}

// LagText returns the lag; nothing if no event has a time.
func (i *item) LagText() string {
	if i.lag == 0 {
		return "–"
	}
	return span(i.lag)
}

func (i *item) IsIll() bool { return i.rank <= lastIll }

// Shown returns over which time the plots are.
func (i *item) Shown() string {
	return span(i.History[len(i.History)-1].Time.Sub(i.History[0].Time))
}

func (c change) DelayText() string { return span(c.delay) }
func (c change) Stamp() string     { return c.Last.UTC().Format("2006-01-02 15:04:05") }
func (v *view) Clock() string      { return v.Time.UTC().Format("15:04:05") }
func (v *view) Ill() (n int) {
	for _, h := range healths[:lastIll+1] {
		n += v.Healths[h]
	}
	return n
}

// A plot is a measurement over time. Points are for a polyline in a box of plotWidth x plotHeight.
type plot struct {
	Title, Max, Last, Points, Area string
}

const plotWidth, plotHeight = 300, 60

// Plots returns the plots of a subscription, or nothing if there are not enough samples.
func (i *item) Plots() []plot {
	if len(i.History) < 2 {
		return nil
	}
	number := func(y float64) string { return fmt.Sprintf("%.3g", y) }
	seconds := func(y float64) string { return span(time.Duration(y * float64(time.Second))) }
	plots := []plot{
		i.plot("Events per second", number, func(s *sample) float64 { return s.Rate }),
		i.plot("Events in the buffer", number, func(s *sample) float64 { return float64(s.Buffered) }),
	}
	if slices.ContainsFunc(i.History, func(s sample) bool { return s.Lag != 0 }) {
		plots = append(plots, i.plot("Lag when received", seconds, func(s *sample) float64 { return max(s.Lag, 0) }))
	}
	return plots
}

func (i *item) plot(title string, text func(float64) string, value func(*sample) float64) plot {
	first, last := &i.History[0], &i.History[len(i.History)-1]
	width, top := last.Time.Sub(first.Time).Seconds(), 0.0
	for n := range i.History {
		top = max(top, value(&i.History[n]))
	}
	var points strings.Builder
	for n := range i.History {
		s := &i.History[n]
		x, y := 0.0, float64(plotHeight-1)
		if width > 0 {
			x = s.Time.Sub(first.Time).Seconds() / width * plotWidth
		}
		if top > 0 {
			y -= value(s) / top * (plotHeight - 4)
		}
		fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
	}
	line := strings.TrimSpace(points.String())
	area := fmt.Sprintf("0,%d %s %d,%d", plotHeight, line, plotWidth, plotHeight)
	return plot{Title: title, Max: text(top), Last: text(value(last)), Points: line, Area: area}
}
