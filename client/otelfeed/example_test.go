package otelfeed_test

import (
	"context"
	"fmt"
	"log"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/otelfeed"
	"github.com/steadfeed/steadfeed/mock"
)

// Each attempt to connect and each event has a span.
func ExampleInstrumentation_Subscribe() {
	spans := tracetest.NewSpanRecorder()
	telemetry, err := otelfeed.New(&otelfeed.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))})
	if err != nil {
		log.Fatal(err)
	}
	defer telemetry.Close()

	feed := mock.NewFeed(mock.Event("1", "a"), mock.Complete())
	sub, err := telemetry.Subscribe(context.Background(), feed, &client.Options{Name: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	handle := func(context.Context, client.Event) error { return nil }
	if err := sub.Process(context.Background(), handle, nil); err != nil {
		log.Fatal(err)
	}
	for _, s := range spans.Ended() {
		fmt.Println(s.SpanKind(), s.Name())
	}
	// Output:
	// client connect orders
	// consumer process orders
}
