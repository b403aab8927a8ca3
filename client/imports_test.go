package client_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/steadfeed/steadfeed"

// TestImports checks the direction of imports, and which package may use which library.
func TestImports(t *testing.T) {
	allowed := map[string][]string{
		"decode":                     {},
		"transport/internal/wsframe": {},
		"transport":                  {"decode", "transport/internal/coding", "transport/internal/link", "transport/internal/wsframe"},
		"transport/webhook":          {"decode", "transport", "transport/webhook/provider", "transport/internal/coding", "transport/internal/joined"},
		"transport/webhook/provider": {"decode", "transport", "transport/internal/coding", "transport/internal/joined", "transport/internal/link"},
		"transport/channel":          {"decode", "transport", "retry"},
		"retry":                      {},
		"client":                     {"decode", "transport", "retry", "client/internal/window"},
		"client/internal/window":     {"transport"},
		"client/internal/cell":       {},
		"client/monitorpage":         {"client", "retry"},
		"client/storetest":           {"client", "client/internal/cell"},
		"mock":                       {"decode", "transport", "mock/internal/bridge", "mock/internal/wait"},
		"mock/internal/bridge":       {"decode", "transport"},
		"mock/internal/wait":         {},
		"mock/record":                {"decode", "transport", "mock", "mock/internal/bridge"},
		"mock/explore":               {"decode", "mock", "mock/internal/bridge", "mock/internal/wait"},
		"mock/sender":                {"transport/webhook/provider", "mock", "mock/internal/bridge", "mock/internal/wait"},
	}
	// Which packages may import a library, directly. goleak is for tests only.
	libraries := map[string][]string{
		"github.com/tidwall/gjson":       {"decode"},
		"github.com/cenkalti/backoff/v4": {"retry"},
		"github.com/coder/websocket":     {"transport", "mock"},
	}
	var pkgs []string
	for pkg := range allowed {
		pkgs = append(pkgs, module+"/"+pkg)
	}
	imports, deps := goList(t, pkgs)
	for pkg, ours := range allowed {
		path := module + "/" + pkg
		for _, imp := range imports[path] {
			if rest, ok := strings.CutPrefix(imp, module+"/"); ok {
				if !slices.Contains(ours, rest) {
					t.Errorf("%s imports %s, want only %v", pkg, rest, ours)
				}
				continue
			}
			if by, ok := libraries[imp]; ok && !slices.Contains(by, pkg) {
				t.Errorf("%s imports %s, which is for %v only", pkg, imp, by)
			} else if !ok && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
				t.Errorf("%s imports %s", pkg, imp)
			}
		}
		for _, dep := range deps[path] {
			if dep == "testing" && pkg != "client/storetest" || strings.HasPrefix(dep, "go.uber.org/goleak") {
				t.Errorf("%s links %s, want only its tests to", pkg, dep)
			}
		}
	}
}

// TestRequirements checks that the root module requires four libraries only.
func TestRequirements(t *testing.T) {
	want := []string{
		"github.com/cenkalti/backoff/v4",
		"github.com/coder/websocket",
		"github.com/tidwall/gjson",
		"go.uber.org/goleak",
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(out))
	for _, m := range got {
		if !slices.Contains(want, m) {
			t.Errorf("go.mod requires %s, want only %v", m, want)
		}
	}
	if len(got) == 0 {
		t.Error("go list: got no requirements, want some")
	}
}

// goList returns the packages that each of pkgs imports, and all that it depends on.
func goList(t *testing.T, pkgs []string) (imports, deps map[string][]string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-f", `{{.ImportPath}};{{join .Imports " "}};{{join .Deps " "}}`}, pkgs...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	imports, deps = map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSpace(line), ";")
		imports[part[0]], deps[part[0]] = strings.Fields(part[1]), strings.Fields(part[2])
	}
	return imports, deps
}

// TestNoZeroTimer reads the source, because the crash is rare: Go 1.26 may crash on a timer with
// zero duration in a synctest bubble under -race.
func TestNoZeroTimer(t *testing.T) {
	zero := regexp.MustCompile(`(?m)^[^/\n]*\b(AfterFunc|NewTimer|After|Tick|NewTicker)\(0\b`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if found := zero.Find(source); found != nil {
			t.Errorf("%s: got %s, want no timer with zero duration", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
