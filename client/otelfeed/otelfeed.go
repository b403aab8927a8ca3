package otelfeed

import (
	"cmp"
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

const (
	// ScopeName is the name of the instrumentation scope.
	ScopeName = "github.com/steadfeed/steadfeed/client/otelfeed"
	// Version is the version of the instrumentation scope.
	Version = "0.1.0"
)

// Options are the optional arguments of New. The zero value of each field works.
type Options struct {
	// MeterProvider makes the instruments. Default: the global one.
	MeterProvider metric.MeterProvider

	// TracerProvider makes the spans. One of package go.opentelemetry.io/otel/trace/noop turns spans
	// off at no cost. Default: the global one.
	TracerProvider trace.TracerProvider

	// Propagator reads the context of the producer from an event. Default: W3C Trace Context.
	Propagator propagation.TextMapPropagator

	// TrustRemote makes the producer's span the parent of the span that processes its event, which
	// is then part of the producer's trace and subject to its sampling. Set it only if every sender
	// is trusted: a signature does not cover the headers of most webhooks. Default: false; the span
	// is the root of a new trace and links to the producer's.
	TrustRemote bool

	// System is the value of messaging.system. Default: by the type of the source, "sse",
	// "http_stream", "http_poll", "websocket" or "webhook", and "_OTHER" for any other type.
	System string

	// DestinationOf returns the value of messaging.destination.name for a subscription's
	// client.Options.Name. It must return one of few values, and none that names a tenant.
	// Subscriptions with the same value share their series. Default: the name itself.
	DestinationOf func(name string) string
}

// An Instrumentation makes the telemetry of the subscriptions that it starts. Its methods may be
// called from several goroutines at once.
type Instrumentation struct {
	opts      Options
	tracer    trace.Tracer // nil if spans are off
	inst      instruments
	unobserve func() error

	mu    sync.Mutex // held for a few instructions
	live  map[*Subscription]struct{}
	ended map[attribute.Set]totals // of the subscriptions that were closed
}

// New returns an Instrumentation. If opts is nil, every option has its default. It returns an error if
// the MeterProvider refuses an instrument. The caller must call Close.
func New(opts *Options) (*Instrumentation, error) {
	in := &Instrumentation{live: map[*Subscription]struct{}{}, ended: map[attribute.Set]totals{}}
	if opts != nil {
		in.opts = *opts
	}
	o := &in.opts
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = propagation.TraceContext{}
	}
	if _, off := o.TracerProvider.(noop.TracerProvider); !off {
		in.tracer = o.TracerProvider.Tracer(ScopeName,
			trace.WithInstrumentationVersion(Version), trace.WithSchemaURL(semconv.SchemaURL))
	}
	meter := o.MeterProvider.Meter(ScopeName,
		metric.WithInstrumentationVersion(Version), metric.WithSchemaURL(semconv.SchemaURL))
	return in, in.instrument(meter)
}

// Close removes the callback that observes the subscriptions from the MeterProvider. Subscriptions
// continue, and what they count themselves is still recorded. A second Close does nothing.
func (in *Instrumentation) Close() error { return in.unobserve() }

// Subscribe is [client.Subscribe] with telemetry. The functions of opts.Trace are called too. opts is
// not changed.
func (in *Instrumentation) Subscribe(ctx context.Context, src transport.Source, opts *client.Options) (*Subscription, error) {
	var o client.Options
	if opts != nil {
		o = *opts
	}
	s := newSubscription(in, src, &o)
	o.Trace = client.JoinTraces(s.trace(), o.Trace)
	sub, err := client.Subscribe(ctx, src, &o)
	if err != nil {
		s.abandon()
		return nil, err
	}
	s.Subscription = sub
	in.mu.Lock()
	defer in.mu.Unlock()
	in.live[s] = struct{}{}
	return s, nil
}

// retire keeps what a subscription has counted, so that no counter decreases when it has ended.
func (in *Instrumentation) retire(s *Subscription) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, ok := in.live[s]; ok {
		stats := s.Stats()
		in.ended[s.attrs] = in.ended[s.attrs].plus(&stats)
		delete(in.live, s)
	}
}

// A Subscription is a [client.Subscription] with telemetry. Its own Process records what its
// handler does. Events, Batches and Next record nothing: call Start for what they deliver.
type Subscription struct {
	*client.Subscription

	in      *Instrumentation
	attrs   attribute.Set // messaging.system and messaging.destination.name
	name    string        // of spans, after the operation; empty if there is none
	process operation
	commit  attribute.Set
	started time.Time

	stored, timed bool

	mu       sync.Mutex // held for a few instructions
	attempts map[uint64]*attempt
}

// An operation has what each processed event has in common, made once.
type operation struct {
	attrs  attribute.Set
	add    []metric.AddOption
	record []metric.RecordOption
	span   []trace.SpanStartOption
	title  string
}

func newSubscription(in *Instrumentation, src transport.Source, o *client.Options) *Subscription {
	s := &Subscription{in: in, started: time.Now(), attempts: map[uint64]*attempt{},
		stored: o.Store != nil, timed: o.EventTime != nil}
	s.name, s.attrs = in.attributes(systemOf(src), o.Name)
	s.commit = s.with(semconv.MessagingOperationName("commit"), semconv.MessagingOperationTypeSettle)
	p := &s.process
	p.attrs = s.with(semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess)
	p.add = []metric.AddOption{metric.WithAttributeSet(p.attrs)}
	p.record = []metric.RecordOption{metric.WithAttributeSet(p.attrs)}
	p.span = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(p.attrs.ToSlice()...)}
	p.title = s.title("process")
	return s
}

// attributes returns the messaging.destination.name of a subscription, or "", and the attributes that all
// its metrics have.
func (in *Instrumentation) attributes(system, name string) (destination string, _ attribute.Set) {
	if in.opts.DestinationOf != nil {
		name = in.opts.DestinationOf(name)
	}
	attrs := []attribute.KeyValue{semconv.MessagingSystemKey.String(cmp.Or(in.opts.System, system))}
	if name != "" {
		attrs = append(attrs, semconv.MessagingDestinationName(name))
	}
	return name, attribute.NewSet(attrs...)
}

// title returns the name of a span.
func (s *Subscription) title(operation string) string {
	if s.name == "" {
		return operation
	}
	return operation + " " + s.name
}

// with returns the attributes of the subscription and more.
func (s *Subscription) with(more ...attribute.KeyValue) attribute.Set {
	return attribute.NewSet(append(s.attrs.ToSlice(), more...)...)
}

// Close is [client.Subscription.Close]. The subscription is no longer observed when it returns.
func (s *Subscription) Close() error {
	err := s.Subscription.Close()
	s.in.retire(s) // otherwise the next observation would: a client.Monitor has the client.Subscription, too
	return err
}

// systemOf returns the value of messaging.system for a source.
func systemOf(src transport.Source) string {
	switch src := src.(type) {
	case *transport.HTTP:
		if _, ok := src.Format.(decode.SSE); ok {
			return "sse"
		}
		return "http_stream"
	case *transport.Poll:
		return "http_poll"
	case *transport.WebSocket:
		return "websocket"
	case transport.Receiver:
		return "webhook"
	}
	return "_OTHER"
}
