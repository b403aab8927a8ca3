package otelfeed_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/otelfeed"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

const (
	producerTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	producer      = "00-" + producerTrace + "-00f067aa0ba902b7-01"
)

func TestSpansOfConnectionsAndEvents(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	runScenario(t, noopmetric.NewMeterProvider(), sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), func() {}, func() {})
	count := map[string]int{}
	for _, s := range spans.Ended() {
		count[fmt.Sprintf("%s %s %s %s", s.SpanKind(), s.Name(), s.Status().Code, s.Status().Description)]++
		if s.Parent().IsValid() {
			t.Errorf("%s has a parent", s.Name())
		}
		if text := fmt.Sprint(s.Attributes(), s.Status(), s.Events()); strings.Contains(text, secret) {
			t.Errorf("%s has a secret: %s", s.Name(), text) // here the ids are the tokens
		}
	}
	want := map[string]int{
		"client connect orders Unset ":                      2,
		"client connect orders Error server":                1,
		"client connect orders Error token rejected":        1,
		"consumer process orders Unset ":                    2,
		"consumer process orders Error *errors.errorString": 1,
		"consumer process orders Error panic":               1,
	}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("spans = %v, want %v", count, want)
	}
	if started, ended := len(spans.Started()), len(spans.Ended()); started != ended {
		t.Errorf("%d spans started, %d ended", started, ended)
	}
}

func start(t *testing.T, o otelfeed.Options) (*otelfeed.Subscription, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	o.MeterProvider = noopmetric.NewMeterProvider()
	o.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	in, err := otelfeed.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	sub, err := in.Subscribe(t.Context(), mock.NewFeed(mock.Stall()), &client.Options{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return sub, spans
}

// processed returns the only span of an event or a batch. That of the connection may end meanwhile.
func processed(t *testing.T, spans *tracetest.SpanRecorder) (found sdktrace.ReadOnlySpan) {
	t.Helper()
	for _, s := range spans.Ended() {
		if s.SpanKind() == trace.SpanKindConsumer {
			if found != nil {
				t.Fatal("two spans")
			}
			found = s
		}
	}
	if found == nil {
		t.Fatal("no span")
	}
	return found
}

func TestSpanLinksToProducer(t *testing.T) {
	header := func(name string) *transport.Delivery {
		return &transport.Delivery{Header: http.Header{name: {producer}}}
	}
	cloudEvent := []byte(`{"specversion":"1.0","id":"1","traceparent":"` + producer + `"}`)
	tests := []struct {
		name   string
		event  client.Event
		linked bool
	}{
		{"none", client.Event{}, false},
		{"header", client.Event{Delivery: header("Traceparent")}, true},
		{"binary CloudEvent", client.Event{Delivery: header("Ce-Traceparent")}, true},
		{"structured CloudEvent", client.Event{Data: cloudEvent}, true},
		{"other JSON", client.Event{Data: []byte(`{"traceparent":"` + producer + `"}`)}, false},
		{"invalid", client.Event{Data: []byte(`{"specversion":"1.0","traceparent":"00-x"}`)}, false},
	}
	for _, trusted := range []bool{false, true} {
		sub, spans := start(t, otelfeed.Options{TrustRemote: trusted})
		for _, tt := range tests {
			spans.Reset()
			active := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled}))
			ctx, end := sub.Start(active, tt.event)
			inside := trace.SpanContextFromContext(ctx)
			end(nil)
			s := processed(t, spans)
			if inside.SpanID() != s.SpanContext().SpanID() {
				t.Errorf("%s: the context has another span", tt.name)
			}
			links := len(s.Links()) == 1 && s.Links()[0].SpanContext.TraceID().String() == producerTrace
			if links != (tt.linked && !trusted) {
				t.Errorf("%s, trusted %v: links %v", tt.name, trusted, s.Links())
			}
			if child := s.SpanContext().TraceID().String() == producerTrace; child != (tt.linked && trusted) {
				t.Errorf("%s, trusted %v: child of the producer = %v", tt.name, trusted, child)
			}
			if s.SpanContext().TraceID() == (trace.TraceID{1}) {
				t.Errorf("%s: the span is part of the caller's trace", tt.name)
			}
		}
	}
}

func TestSpanOfBatch(t *testing.T) {
	sub, spans := start(t, otelfeed.Options{TrustRemote: true})
	ev := client.Event{Delivery: &transport.Delivery{Header: http.Header{"Traceparent": {producer}}}}
	spans.Reset()
	_, end := sub.Start(t.Context(), ev, client.Event{}, ev)
	end(context.Canceled)
	s := processed(t, spans)
	if len(s.Links()) != 2 || s.Parent().IsValid() || s.Status().Code != codes.Error {
		t.Errorf("links %v, parent %v, status %v", s.Links(), s.Parent(), s.Status())
	}
}

func TestMessageIDUnlessToken(t *testing.T) {
	sub, spans := start(t, otelfeed.Options{})
	for token, want := range map[string]bool{"7": false, "8": true} {
		spans.Reset()
		_, end := sub.Start(t.Context(), client.Event{ID: "7", Token: token})
		end(nil)
		if got := strings.Contains(fmt.Sprint(processed(t, spans).Attributes()), "messaging.message.id"); got != want {
			t.Errorf("token %s: id exported = %v, want %v", token, got, want)
		}
	}
}
