package otelfeed_test

import (
	"context"
	"testing"

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
