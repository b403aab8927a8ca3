// Package otelfeed makes OpenTelemetry metrics and spans of subscriptions.
//
//	telemetry, err := otelfeed.New(nil) // the global providers
//	...
//	defer telemetry.Close()
//	sub, err := telemetry.Subscribe(ctx, source, &client.Options{Name: "orders"})
//	...
//	defer sub.Close()
//	err = sub.Process(ctx, handle, nil)
//
// It is a module of its own, so that a program without it has no dependency on OpenTelemetry and no
// cost.
//
// # Metrics
//
// The README of the module has a table of the metrics with their kinds, units and attributes. The
// messaging.* names are those of version 1.43.0 of the semantic conventions, where they are in
// development. OTEL_SEMCONV_STABILITY_OPT_IN has no effect. An observed metric is the sum, or for
// an age the maximum, over the subscriptions with the same messaging.system and
// messaging.destination.name.
//
// The gauges of a subscription exist from Subscribe to Close. A counter keeps its value after that,
// until the Instrumentation is closed.
//
// # Spans
//
// Each attempt to connect has a span "connect NAME" of kind CLIENT, which ends when the connection
// is open or the attempt has failed. Each event or batch has a span "process NAME" of kind
// CONSUMER. Both are roots. No span is as long as a connection.
//
// A span of an event links to its producer's context, if the event has one: a CloudEvent with the
// Distributed Tracing extension, or a webhook with a traceparent header. See [Options].TrustRemote
// for a parent instead.
//
// # Attributes
//
// No attribute is a token, path, query, payload or text of an error. The id of an event is on spans
// only, as messaging.message.id, unless it is also the token.
//
// # Goroutines
//
// The package starts none. It records on the goroutine on which something happens, and observes on
// that of the MeterProvider's reader.
package otelfeed
