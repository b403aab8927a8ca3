package otelfeed_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/steadfeed/steadfeed/client/otelfeed"
)

// A row is one of the table in README.md.
type row struct {
	kind, unit string
	attrs      []string // sorted
}

// documented returns the table in README.md.
func documented(t *testing.T) map[string]row {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	table := map[string]row{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		r := row{kind: strings.TrimSpace(cells[2]), unit: strings.Trim(cells[3], " `"),
			attrs: []string{"messaging.destination.name", "messaging.system"}}
		for _, m := range quoted.FindAllStringSubmatch(cells[4], -1) {
			r.attrs = append(r.attrs, strings.TrimSuffix(m[1], "?"))
		}
		slices.Sort(r.attrs)
		table[strings.Trim(cells[1], " `")] = r
	}
	return table
}

// exported returns the same of what was collected.
func exported(t *testing.T, rm metricdata.ResourceMetrics) map[string]row {
	table := map[string]row{}
	for _, m := range only(t, rm).Metrics {
		r := row{kind: "?", unit: m.Unit}
		keys := map[string]bool{}
		note := func(s attribute.Set) {
			for _, kv := range s.ToSlice() {
				keys[string(kv.Key)] = true
			}
		}
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			r.kind = "up-down counter"
			if d.IsMonotonic {
				r.kind = "counter"
			}
			for _, p := range d.DataPoints {
				note(p.Attributes)
			}
		case metricdata.Gauge[float64]:
			r.kind = "gauge"
			for _, p := range d.DataPoints {
				note(p.Attributes)
			}
		case metricdata.Histogram[float64]:
			r.kind = "histogram"
			for _, p := range d.DataPoints {
				note(p.Attributes)
			}
		}
		r.attrs = slices.Sorted(maps.Keys(keys))
		table[m.Name] = r
	}
	return table
}

func only(t *testing.T, rm metricdata.ResourceMetrics) metricdata.ScopeMetrics {
	t.Helper()
	if len(rm.ScopeMetrics) != 1 {
		t.Fatalf("%d scopes, want 1", len(rm.ScopeMetrics))
	}
	s := rm.ScopeMetrics[0]
	if s.Scope.Name != otelfeed.ScopeName || s.Scope.Version != otelfeed.Version || s.Scope.SchemaURL != semconv.SchemaURL {
		t.Errorf("scope = %+v", s.Scope)
	}
	return s
}

func collect(t *testing.T, r sdkmetric.Reader) (rm metricdata.ResourceMetrics) {
	t.Helper()
	if err := r.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	return rm
}

func metricNamed(t *testing.T, rm metricdata.ResourceMetrics, name string) metricdata.Aggregation {
	t.Helper()
	for _, m := range only(t, rm).Metrics {
		if m.Name == name {
			return m.Data
		}
	}
	return nil
}

func TestMetricsAreAsDocumented(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	var live, closed metricdata.ResourceMetrics
	runScenario(t, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), noop.NewTracerProvider(),
		func() { live = collect(t, reader) }, func() { closed = collect(t, reader) })

	want, got := documented(t), exported(t, live)
	for name, w := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%s: documented, not exported", name)
		} else if fmt.Sprint(g) != fmt.Sprint(w) {
			t.Errorf("%s: exported %+v, documented %+v", name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: exported, not documented", name)
		}
	}
	for _, rm := range []metricdata.ResourceMetrics{live, closed} {
		if text := fmt.Sprintf("%+v", rm); strings.Contains(text, secret) {
			t.Errorf("a secret is exported: %s", text)
		}
	}
	for name := range got {
		if d := metricNamed(t, closed, name); got[name].kind == "gauge" && d != nil {
			t.Errorf("%s is exported after Close: %v", name, d)
		}
	}
	if d := metricNamed(t, closed, "steadfeed.subscription.state"); d != nil {
		t.Errorf("the state is exported after Close: %v", d)
	}
}

func TestMetricsHaveValues(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	var live, closed metricdata.ResourceMetrics
	runScenario(t, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), noop.NewTracerProvider(),
		func() { live = collect(t, reader) }, func() { closed = collect(t, reader) })

	base := []attribute.KeyValue{attribute.String("messaging.system", "_OTHER"), attribute.String("messaging.destination.name", "orders")}
	point := func(n int64, more ...attribute.KeyValue) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: n, Attributes: attribute.NewSet(append(more, base...)...)}
	}
	process := []attribute.KeyValue{attribute.String("messaging.operation.name", "process"), attribute.String("messaging.operation.type", "process")}
	failed := func(kind string) []attribute.KeyValue {
		return append(slices.Clone(process), attribute.String("error.type", kind))
	}
	tests := []struct {
		name string
		when metricdata.ResourceMetrics
		up   bool // an up-down counter
		want []metricdata.DataPoint[int64]
	}{
		{"messaging.client.consumed.messages", live, false, []metricdata.DataPoint[int64]{
			point(2, process...), point(1, failed("*errors.errorString")...), point(1, failed("panic")...)}},
		{"steadfeed.messages.received", live, false, []metricdata.DataPoint[int64]{point(6)}},
		{"steadfeed.messages.received", closed, false, []metricdata.DataPoint[int64]{point(6)}},
		{"steadfeed.messages.skipped", closed, false, []metricdata.DataPoint[int64]{point(1)}},
		{"steadfeed.messages.duplicates", closed, false, []metricdata.DataPoint[int64]{point(1)}},
		{"steadfeed.messages.nacked", live, false, []metricdata.DataPoint[int64]{point(2)}},
		{"steadfeed.messages.dead_lettered", live, false, []metricdata.DataPoint[int64]{
			point(2), point(1, attribute.String("error.type", "_OTHER"))}},
		{"steadfeed.gaps", live, false, []metricdata.DataPoint[int64]{
			point(1, attribute.String("steadfeed.gap.reason", "token rejected"))}},
		{"steadfeed.connections", live, true, []metricdata.DataPoint[int64]{point(1)}},
		{"steadfeed.connections", closed, true, []metricdata.DataPoint[int64]{point(0)}},
		{"steadfeed.buffer.usage", live, true, []metricdata.DataPoint[int64]{point(0)}},
		{"steadfeed.buffer.limit", live, true, []metricdata.DataPoint[int64]{point(1024)}},
		{"steadfeed.buffer.size.limit", live, true, []metricdata.DataPoint[int64]{point(8 << 20)}},
	}
	for _, tt := range tests {
		want := metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: !tt.up, DataPoints: tt.want}
		got, ok := metricNamed(t, tt.when, tt.name).(metricdata.Sum[int64])
		if !ok {
			t.Errorf("%s is no sum", tt.name)
			continue
		}
		if !metricdatatest.AssertEqual(t, want, got, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars()) {
			t.Errorf("%s is wrong", tt.name)
		}
	}
	state, _ := metricNamed(t, live, "steadfeed.subscription.state").(metricdata.Sum[int64])
	for _, p := range state.DataPoints {
		v, _ := p.Attributes.Value("steadfeed.state")
		if want := v.AsString() == "live"; (p.Value == 1) != want {
			t.Errorf("state %q = %d", v.AsString(), p.Value)
		}
	}
	if len(state.DataPoints) != 8 {
		t.Errorf("%d states, want 8", len(state.DataPoints))
	}
	lag, _ := metricNamed(t, live, "steadfeed.event.lag").(metricdata.Gauge[float64])
	if len(lag.DataPoints) != 1 || lag.DataPoints[0].Value != 2 {
		t.Errorf("lag = %+v, want 2 s", lag)
	}
}
