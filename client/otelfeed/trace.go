package otelfeed

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// An attempt is one to connect that has no outcome yet.
type attempt struct {
	start time.Time
	span  trace.Span // nil if spans are off
}

// trace returns the functions that record what happens to the subscription.
func (s *Subscription) trace() *client.Trace {
	i, ctx := &s.in.inst, context.Background()
	return &client.Trace{
		Connecting:   s.connecting,
		Connected:    s.connected,
		Disconnected: s.disconnected,
		Gap: func(g client.Gap) {
			i.gaps.Add(ctx, 1, metric.WithAttributeSet(s.with(reasonKey.String(reasonOf(g.Reason)))))
		},
		Nacked: func(client.Event, error) { i.nacked.Add(ctx, 1, metric.WithAttributeSet(s.attrs)) },
		DeadLettered: func(_ client.Event, _, err error) {
			i.deadLettered.Add(ctx, 1, metric.WithAttributeSet(s.withError(s.attrs, kindOf(err))))
		},
		Backfilled: func(b client.BackfillInfo) {
			i.backfill.Record(ctx, b.Took.Seconds(), metric.WithAttributeSet(s.withError(s.attrs, kindOf(b.Err))))
		},
		Saved: func(v client.SaveInfo) {
			kind := kindOf(v.Err)
			i.checkpoint.Record(ctx, v.Took.Seconds(), metric.WithAttributeSet(s.withError(s.attrs, kind)))
			i.operation.Record(ctx, v.Took.Seconds(), metric.WithAttributeSet(s.withError(s.commit, kind)))
		},
	}
}

// reasonOf returns one of few reasons. A Transport of the program may have put any text there.
func reasonOf(r transport.GapReason) string {
	switch r {
	case transport.GapStart, transport.GapTokenRejected, transport.GapNoToken, transport.GapSequence,
		transport.GapNotice, transport.GapBadFrame, transport.GapOverflow:
		return string(r)
	}
	return "_OTHER"
}

// withError returns set and error.type, unless kind is empty.
func (s *Subscription) withError(set attribute.Set, kind string) attribute.Set {
	if kind == "" {
		return set
	}
	return attribute.NewSet(append(set.ToSlice(), semconv.ErrorTypeKey.String(kind))...)
}

// kindOf returns the error.type of a failure that has no retry.Class, or "" for nil.
func kindOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, client.ErrAcceptGap):
		return "accepted"
	case errors.Is(err, client.ErrFenced):
		return "fenced"
	case errors.Is(err, client.ErrConflict):
		return "conflict"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "_OTHER"
}

func (s *Subscription) connecting(c client.ConnectInfo) {
	a := &attempt{start: time.Now()}
	if t := s.in.tracer; t != nil {
		_, a.span = t.Start(context.Background(), s.title("connect"),
			trace.WithSpanKind(trace.SpanKindClient), trace.WithNewRoot(), trace.WithAttributes(s.attrs.ToSlice()...),
			trace.WithAttributes(
				semconv.MessagingOperationName("connect"),
				attribute.Int64("steadfeed.connect.id", int64(c.ID)),
				attribute.Int("steadfeed.connect.attempt", c.Number),
				attribute.Bool("steadfeed.connect.resuming", c.Resuming),
				attribute.Bool("steadfeed.connect.handover", c.Handover)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[c.ID] = a
}

// outcome returns the attempt and forgets it. It is nil if the attempt has an outcome already.
func (s *Subscription) outcome(id uint64) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.attempts[id]
	delete(s.attempts, id)
	return a
}

// abandon ends what is left of a subscription that was not started.
func (s *Subscription) abandon() {
	for id := range s.attempts {
		s.outcome(id).end("", nil)
	}
}

func (a *attempt) end(kind string, err error) {
	if a == nil || a.span == nil {
		return
	}
	if kind != "" {
		a.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		var status interface{ StatusCode() int }
		if errors.As(err, &status) && status.StatusCode() > 0 {
			a.span.SetAttributes(semconv.HTTPResponseStatusCode(status.StatusCode()))
		}
		a.span.SetStatus(codes.Error, kind) // the error itself may have what must not be exported
	}
	a.span.End()
}

func (s *Subscription) connected(c client.ConnectInfo) {
	ctx, i := context.Background(), &s.in.inst
	s.outcome(c.ID).end("", nil)
	i.connect.Record(ctx, c.Took.Seconds(), metric.WithAttributeSet(s.attrs))
	i.connections.Add(ctx, 1, metric.WithAttributeSet(s.attrs))
}

func (s *Subscription) disconnected(d client.DisconnectInfo) {
	ctx, i := context.Background(), &s.in.inst
	kind := ""
	if !d.Planned {
		kind = d.Class.String()
	}
	with := metric.WithAttributeSet(s.withError(s.attrs, kind))
	if d.Opened {
		i.connections.Add(ctx, -1, metric.WithAttributeSet(s.attrs))
		i.connection.Record(ctx, d.Uptime.Seconds(), with)
	} else if a := s.outcome(d.ID); a != nil {
		i.connect.Record(ctx, time.Since(a.start).Seconds(), with)
		a.end(kind, d.Err)
	}
	if !d.Planned && !d.Final && !d.Handover {
		i.delay.Record(ctx, d.Delay.Seconds(), with)
	}
}
