package otelfeed_test

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/otelfeed"
	"github.com/steadfeed/steadfeed/mock"
)

func BenchmarkProcess(b *testing.B) {
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, mode := range []string{"off", "metrics", "metrics and spans"} {
		b.Run(mode, func(b *testing.B) {
			o := &otelfeed.Options{MeterProvider: metrics, TracerProvider: noop.NewTracerProvider()}
			if mode == "metrics and spans" {
				o.TracerProvider = sdktrace.NewTracerProvider()
			}
			in, err := otelfeed.New(o)
			if err != nil {
				b.Fatal(err)
			}
			defer in.Close()
			steps := make([]mock.Step, b.N, b.N+1)
			for i := range steps {
				steps[i] = mock.Event("", "data")
			}
			sub, err := in.Subscribe(b.Context(), mock.NewFeed(append(steps, mock.Complete())...), &client.Options{Name: "bench"})
			if err != nil {
				b.Fatal(err)
			}
			defer sub.Close()
			process := sub.Process
			if mode == "off" {
				process = sub.Subscription.Process
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := process(b.Context(), func(context.Context, client.Event) error { return nil }, nil); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkStart measures what telemetry costs an event, without the rest of its way, and what the SDK
// takes of that.
func BenchmarkStart(b *testing.B) {
	b.Run("SDK alone", func(b *testing.B) {
		meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())).Meter("bench")
		count, _ := meter.Int64Counter("count")
		took, _ := meter.Float64Histogram("took")
		set := metric.WithAttributeSet(attribute.NewSet(attribute.String("a", "a"), attribute.String("b", "b"),
			attribute.String("c", "c"), attribute.String("d", "d")))
		add, record := []metric.AddOption{set}, []metric.RecordOption{set}
		for b.Loop() {
			start := time.Now()
			count.Add(b.Context(), 1, add...)
			took.Record(b.Context(), time.Since(start).Seconds(), record...)
		}
	})
	for _, mode := range []string{"metrics", "metrics and spans"} {
		b.Run(mode, func(b *testing.B) {
			o := &otelfeed.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
				TracerProvider: noop.NewTracerProvider()}
			if mode == "metrics and spans" {
				o.TracerProvider = sdktrace.NewTracerProvider()
			}
			in, err := otelfeed.New(o)
			if err != nil {
				b.Fatal(err)
			}
			defer in.Close()
			sub, err := in.Subscribe(b.Context(), mock.NewFeed(mock.Stall()), &client.Options{Name: "bench"})
			if err != nil {
				b.Fatal(err)
			}
			defer sub.Close()
			ev := client.Event{Data: []byte("data")}
			b.ReportAllocs()
			for b.Loop() {
				_, end := sub.Start(b.Context(), ev)
				end(nil)
			}
		})
	}
}
