package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// invented returns results of three contests.
func invented() []*result {
	return []*result{
		{Contest: "Subscribe WebSocket/512B", Task: "Subscribe WebSocket", Size: "512B", Columns: []string{"ns/event", "MB/s", "allocs/event"}, Rows: []row{
			{Name: "steadfeed", Ours: true, Turns: [][]float64{{200, 2560, 0}}},
			{Name: "<gws>", Turns: [][]float64{{400, 1280, 1}}},
			{Name: "gws", Turns: [][]float64{{100, 5120, 1}}},
		}},
		{Contest: "Growth of Buffer", Task: "Growth of Buffer", Theory: "constant", Columns: []string{"CPU ns/event", "allocs/event", "MiB held", theoryColumn, growthColumn}, Rows: []row{
			{Name: "1", Ours: true, Turns: [][]float64{{5000, 1, 0, 1, 1}}},
			{Name: "16", Ours: true, Turns: [][]float64{{2500, 1, 0, 0.5, 1}}},
		}},
		{Contest: "NDJSON/100B", Task: "NDJSON", Size: "100B", Columns: []string{"ns/event"}, Rows: []row{
			{Name: "steadfeed", Ours: true, Turns: [][]float64{{1}}},
		}},
	}
}

// TestPage renders invented results and checks the structure of the page.
func TestPage(t *testing.T) {
	results := invented()
	verdicts, err := judge(goals(), [][]*result{results})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := newPage(results, verdicts, facts{Date: "today", Machine: "a <machine>", Go: "go1", Modules: []module{{"example.com/m", "v1.2.3"}}})
	if err := p.write(&out); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, doc, "h2", "Goals", "From a server to the program", "Growth", "Parsers")
	wantTexts(t, doc, "h3", "Subscribe WebSocket 512B", "Growth of Buffer", "NDJSON 100B")
	wantTexts(t, doc, ".bar", "steadfeed 200 ns 1.00×", "<gws> 400 ns 2.00×", "gws 100 ns 0.50×", "1 5000 ns 1.00×", "16 2500 ns 1.00×", "steadfeed 1.00 ns 1.00×")
	wantTexts(t, doc, ".ours", "steadfeed 200 ns 1.00×", "1 5000 ns 1.00×", "16 2500 ns 1.00×", "steadfeed 1.00 ns 1.00×")
	wantTexts(t, doc, ".goal", "FAILED Subscribe WebSocket/512B steadfeed 2.00 at most 1 × gws",
		"met Subscribe WebSocket/512B steadfeed 0.00 at most 0.1 allocs/event", "met Growth of Buffer each size 1.00 at most 2 × the theory")
	var widths []string
	for _, n := range find(doc, "i") {
		widths = append(widths, attribute(n, "style"))
	}
	if got, want := strings.Join(widths[3:8], " "), "width:50.0% width:100.0% width:25.0% width:100.0% width:50.0%"; got != want {
		t.Errorf("widths of the bars: got %s, want %s", got, want)
	}
	for _, want := range []string{"today", "a <machine>", "go1", "example.com/m v1.2.3"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("got a page without %q, want it", want)
		}
	}
	for _, forbidden := range []string{"script", "link", "img", "iframe"} {
		if n := len(find(doc, forbidden)); n > 0 {
			t.Errorf("got %d <%s>, want a page that loads nothing", n, forbidden)
		}
	}
}

// TestPageFile runs the command with a page.
func TestPageFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out.html")
	measured(t, command{settings: settings{span: time.Millisecond, turns: 1}, match: "^NDJSON/100B$", html: name})
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, []byte("bufio.Scanner")) || !bytes.HasSuffix(bytes.TrimSpace(page), []byte("</html>")) {
		t.Errorf("got the page\n%s\nwant the results", page)
	}
}

// find returns the elements with a tag or, after a dot, a class.
func find(doc *html.Node, what string) (all []*html.Node) {
	class, byClass := strings.CutPrefix(what, ".")
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if byClass && strings.Contains(" "+attribute(n, "class")+" ", " "+class+" ") || !byClass && n.Data == what {
			all = append(all, n)
		}
	}
	return all
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// text returns the text of an element, with single spaces.
func text(n *html.Node) string {
	var words []string
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "style" {
			words = append(words, strings.Fields(d.Data)...)
		}
	}
	return strings.Join(words, " ")
}

func wantTexts(t *testing.T, doc *html.Node, what string, want ...string) {
	t.Helper()
	var got []string
	for _, n := range find(doc, what) {
		got = append(got, text(n))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
