package otelfeed_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	prom "github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace/noop"
)

// expressions returns what the panels of the dashboard ask Prometheus for, and what its variables and
// the rules do.
func expressions(t *testing.T) (panels, rest []string) {
	text, err := os.ReadFile("grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels     []struct{ Targets []struct{ Expr string } }
		Templating struct {
			List []struct{ Type, Query string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			panels = append(panels, target.Expr)
		}
	}
	for _, v := range board.Templating.List {
		if v.Type == "query" {
			rest = append(rest, v.Query)
		}
	}
	if text, err = os.ReadFile("prometheus/rules.yml"); err != nil {
		t.Fatal(err)
	}
	alerts := strings.Count(string(text), "- alert:")
	rules := regexp.MustCompile(`(?m)^ +expr: '(.*)'$`).FindAllStringSubmatch(string(text), -1)
	if len(rules) != alerts || alerts == 0 || len(panels) < 2 {
		t.Fatalf("%d expressions in the dashboard, %d in %d alerts", len(panels), len(rules), alerts)
	}
	for _, m := range rules {
		rest = append(rest, m[1])
	}
	return panels, rest
}

// The dashboard and the rules name only metrics and labels that a program exports.
func TestDashboardAndRulesNameWhatIsExported(t *testing.T) {
	registry := prom.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	runScenario(t, sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)), noop.NewTracerProvider(), func() {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			names := []string{f.GetName()}
			if f.GetMetric()[0].GetHistogram() != nil {
				names = []string{f.GetName() + "_bucket", f.GetName() + "_count", f.GetName() + "_sum"}
			}
			for _, n := range names {
				known[n] = true
			}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					known[l.GetName()] = true
				}
			}
		}
	}, func() {})
	named := regexp.MustCompile(`\b(?:steadfeed|messaging|error)_[a-z_]+`)
	panels, rest := expressions(t)
	for _, e := range append(panels, rest...) {
		names := named.FindAllString(e, -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", e)
		}
		for _, n := range names {
			if !known[n] {
				t.Errorf("%s: %s is not exported", e, n)
			}
		}
	}
}
