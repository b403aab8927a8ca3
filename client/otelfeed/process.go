package otelfeed

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
)

// Process is [client.Subscription.Process] with telemetry: each call of handle is counted and
// timed, and has a span, which is in the context that handle gets. Do not call Start for the event.
func (s *Subscription) Process(ctx context.Context, handle func(context.Context, client.Event) error, opts *client.ProcessOptions) error {
	if handle == nil {
		return s.Subscription.Process(ctx, nil, opts)
	}
	return s.Subscription.Process(ctx, func(ctx context.Context, ev client.Event) error {
		return s.call(ctx, ev, handle)
	}, opts)
}

func (s *Subscription) call(ctx context.Context, ev client.Event, handle func(context.Context, client.Event) error) (err error) {
	start := time.Now()
	var span trace.Span
	if s.in.tracer != nil {
		ctx, span = s.open(ctx, &ev)
	}
	kind := "panic" // until handle has returned
	defer func() { s.finish(ctx, span, start, 1, kind) }()
	err = handle(ctx, ev)
	kind = handlerError(err)
	return err
}

// Start records the processing of events that a loop has received, one or a batch. The caller must call
// end, once, with the outcome. The returned context has the span.
//
//	for ev, err := range sub.Events() {
//		...
//		ctx, end := sub.Start(ctx, ev)
//		end(handle(ctx, ev))
//	}
func (s *Subscription) Start(ctx context.Context, evs ...client.Event) (_ context.Context, end func(error)) {
	start := time.Now()
	var span trace.Span
	if s.in.tracer != nil {
		switch len(evs) {
		case 1:
			ctx, span = s.open(ctx, &evs[0])
		default:
			ctx, span = s.openBatch(ctx, evs)
		}
	}
	n := int64(len(evs))
	return ctx, func(err error) { s.finish(ctx, span, start, n, handlerError(err)) }
}

// handlerError returns the error.type of a handler's error: a name of a Go type, of which a program has
// few. Its text and what a method ErrorType returns may be anything.
func handlerError(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		err = cause
		if !isWrapper(err) {
			break
		}
	}
	return reflect.TypeOf(err).String()
}

// isWrapper reports whether err only adds to its cause: it is made by fmt.Errorf, client.RetryAfter or
// client.Terminal.
func isWrapper(err error) bool {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "fmt" || t.PkgPath() == reflect.TypeFor[client.Stats]().PkgPath()
}

// finish records the outcome. kind is the error.type of a failure.
func (s *Subscription) finish(ctx context.Context, span trace.Span, start time.Time, n int64, kind string) {
	took := time.Since(start).Seconds()
	add, record := s.process.add, s.process.record
	if kind != "" {
		set := metric.WithAttributeSet(s.withError(s.process.attrs, kind))
		add, record = []metric.AddOption{set}, []metric.RecordOption{set}
	}
	s.in.inst.consumed.Add(ctx, n, add...)
	s.in.inst.process.Record(ctx, took, record...)
	if span == nil {
		return
	}
	if kind != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		span.SetStatus(codes.Error, kind)
	}
	span.End()
}

// open starts the span of an event.
func (s *Subscription) open(ctx context.Context, ev *client.Event) (context.Context, trace.Span) {
	options := s.process.span
	options = options[:len(options):len(options)]
	producer := s.producer(ev)
	switch {
	case producer.IsValid() && s.in.opts.TrustRemote:
		ctx = trace.ContextWithRemoteSpanContext(ctx, producer)
	case producer.IsValid():
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: producer}))
	default:
		options = append(options, trace.WithNewRoot())
	}
	ctx, span := s.in.tracer.Start(ctx, s.process.title, options...)
	if span.IsRecording() {
		span.SetAttributes(semconv.MessagingMessageBodySize(len(ev.Data)), attribute.Int("steadfeed.message.attempt", ev.Attempt))
		if ev.ID != "" && ev.ID != ev.Token { // a token can be a secret
			span.SetAttributes(semconv.MessagingMessageID(ev.ID))
		}
	}
	return ctx, span
}

// openBatch starts the span of a batch, which has no single parent.
func (s *Subscription) openBatch(ctx context.Context, evs []client.Event) (context.Context, trace.Span) {
	var links []trace.Link
	for i := range evs {
		if producer := s.producer(&evs[i]); producer.IsValid() {
			links = append(links, trace.Link{SpanContext: producer})
		}
	}
	options := s.process.span
	options = append(options[:len(options):len(options)], trace.WithNewRoot(), trace.WithLinks(links...),
		trace.WithAttributes(semconv.MessagingBatchMessageCount(len(evs))))
	return s.in.tracer.Start(ctx, s.process.title, options...)
}

// producer returns the context in which the event was made, if the event has it.
func (s *Subscription) producer(ev *client.Event) trace.SpanContext {
	if carrier := carrierOf(ev); carrier != nil {
		// Extract keeps the span of its context if the carrier has none, so there must be none.
		return trace.SpanContextFromContext(s.in.opts.Propagator.Extract(context.Background(), carrier))
	}
	return trace.SpanContext{}
}

// carrierOf returns where the event has the context of its producer, or nil: the attributes of a
// CloudEvent (its Distributed Tracing extension), which are those of the event itself, or the
// header of a webhook.
func carrierOf(ev *client.Event) propagation.TextMapCarrier {
	if bytes.Contains(ev.Data, []byte(`"traceparent"`)) {
		if field := decode.Fields(ev.Data); field("specversion") != "" {
			return propagation.MapCarrier{"traceparent": field("traceparent"), "tracestate": field("tracestate")}
		}
	}
	if ev.Delivery == nil {
		return nil
	}
	if h := ev.Delivery.Header; h.Get("Ce-Traceparent") != "" {
		return propagation.MapCarrier{"traceparent": h.Get("Ce-Traceparent"), "tracestate": h.Get("Ce-Tracestate")}
	}
	return propagation.HeaderCarrier(ev.Delivery.Header)
}
