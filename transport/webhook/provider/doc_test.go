package provider_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// docTable returns the rows of the table of the package comment that begins with the given column
// titles, by their first column.
func docTable(t *testing.T, title string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	inside := false
	for line := range strings.Lines(string(text)) {
		row, ok := strings.CutPrefix(line, "//\t")
		name, rest, _ := strings.Cut(strings.TrimRight(row, "\n"), " ")
		switch {
		case ok && name == "preset" && strings.HasPrefix(strings.TrimSpace(rest), title):
			inside = true
		case !ok:
			inside = false
		case inside:
			rows[name] = strings.TrimSpace(rest)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("doc.go: got no table %q, want one", title)
	}
	return rows
}

// presets returns the names of the functions that return a *Provider.
func presets(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || file.Name.Name != "provider" || f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			if star, ok := f.Type.Results.List[0].Type.(*ast.StarExpr); ok {
				if id, ok := star.X.(*ast.Ident); ok && id.Name == "Provider" {
					names = append(names, f.Name.Name)
				}
			}
		}
	}
	return names
}

// docNames are the names of presets whose Provider has another name.
var docNames = map[string]string{"sns": "AmazonSNS", "eventgrid": "AzureEventGrid"}

// rowOf returns the name in the tables of the preset that returned p.
func rowOf(t *testing.T, names []string, p *provider.Provider) string {
	t.Helper()
	if name := docNames[p.Name]; name != "" {
		return name
	}
	i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, p.Name) })
	if i < 0 {
		t.Fatalf("got no preset for %q, want one: add it to docNames", p.Name)
	}
	return names[i]
}

// The package comment has every preset in its table, with the deadline, and every sender that gives
// up after some answers in another.
func TestTablesOfPresets(t *testing.T) {
	all, answers, names := docTable(t, "authentication"), docTable(t, "gives up after"), presets(t)
	for _, name := range names {
		if _, ok := all[name]; !ok {
			t.Errorf("doc.go: got no row for %s in the table of presets, want one", name)
		}
	}
	for name := range all {
		if !slices.Contains(names, name) {
			t.Errorf("doc.go: got a row for %s, which is no preset", name)
		}
	}
	sampled := map[string]bool{}
	for _, s := range samples() {
		p := s.provider()
		name := rowOf(t, names, p)
		sampled[name] = true
		deadline := p.Deadline
		if deadline == 0 {
			deadline = 10 * time.Second
		}
		columns := strings.Fields(all[name])
		if len(columns) < 2 {
			continue // reported above
		}
		got, err := time.ParseDuration(strings.Join(columns[len(columns)-2:], ""))
		if err != nil || got != deadline {
			t.Errorf("doc.go: %s: got the deadline %q, want %v", name, strings.Join(columns[len(columns)-2:], " "), deadline)
		}
		once := p.Retry.Waits != nil && len(p.Retry.Waits) == 0
		if _, ok := answers[name]; !ok && (p.Retry.Final != nil && p.Retry.Final(provider.Answer{Status: 410}) || once) {
			t.Errorf("doc.go: got no row for %s in the table of answers, want one", name)
		}
	}
	for _, name := range names {
		if !sampled[name] {
			t.Errorf("%s: got no sample, want one", name)
		}
	}
}
