package otelfeed

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"

	"github.com/steadfeed/steadfeed/client"
)

const (
	stateKey  = attribute.Key("steadfeed.state")
	reasonKey = attribute.Key("steadfeed.gap.reason")
)

// Boundaries of histograms in seconds. Those of short are the ones of the messaging conventions.
var (
	short = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	waits = []float64{.01, .1, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}
	lives = []float64{1, 10, 60, 300, 900, 1800, 3600, 7200, 21600, 86400}
)

// instruments are those that are recorded when something happens.
type instruments struct {
	consumed, gaps, nacked, deadLettered, answers                        metric.Int64Counter
	connections                                                          metric.Int64UpDownCounter
	process, operation, connect, connection, delay, checkpoint, backfill metric.Float64Histogram
}

// instrument makes the instruments and registers the callback.
func (in *Instrumentation) instrument(m metric.Meter) error {
	b := builder{meter: m}
	i := &in.inst
	consumed, err := messagingconv.NewClientConsumedMessages(m)
	b.check(err)
	process, err := messagingconv.NewProcessDuration(m, metric.WithExplicitBucketBoundaries(short...))
	b.check(err)
	operation, err := messagingconv.NewClientOperationDuration(m, metric.WithExplicitBucketBoundaries(short...))
	b.check(err)
	i.consumed, i.process, i.operation = consumed.Inst(), process.Inst(), operation.Inst()
	i.connect = b.duration("steadfeed.connect.duration", "Duration of attempts to connect.", short)
	i.connection = b.duration("steadfeed.connection.duration", "Duration of connections that have ended.", lives)
	i.delay = b.duration("steadfeed.reconnect.delay", "Delay before an attempt to connect that follows a failure.", waits)
	i.checkpoint = b.duration("steadfeed.checkpoint.duration", "Duration of attempts to save the checkpoint.", short)
	i.backfill = b.duration("steadfeed.backfill.duration", "Duration of calls that repair a gap.", waits)
	i.connections, err = m.Int64UpDownCounter("steadfeed.connections",
		metric.WithUnit("{connection}"), metric.WithDescription("Connections that are open."))
	b.check(err)
	i.gaps = b.counter("steadfeed.gaps", "{gap}", "Possible losses, also those that were repaired.")
	i.nacked = b.counter("steadfeed.messages.nacked", "{message}", "Refusals of messages by the consumer.")
	i.deadLettered = b.counter("steadfeed.messages.dead_lettered", "{message}", "Attempts to put a refused message aside.")
	i.answers = b.counter("steadfeed.webhook.answers", "{request}", "Answers to requests of senders.")
	in.observe(&b)
	return errors.Join(b.errs...)
}

// A builder makes instruments and collects the errors.
type builder struct {
	meter metric.Meter
	errs  []error
}

func (b *builder) check(err error) {
	if err != nil {
		b.errs = append(b.errs, err)
	}
}

func (b *builder) counter(name, unit, description string) metric.Int64Counter {
	c, err := b.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.check(err)
	return c
}

func (b *builder) duration(name, description string, bounds []float64) metric.Float64Histogram {
	h, err := b.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(bounds...))
	b.check(err)
	return h
}

// totals are counts of Stats that outlive a subscription.
type totals struct{ received, bytes, skipped, duplicates, missed, dropped, handovers uint64 }

func (t totals) plus(s *client.Stats) totals {
	return totals{t.received + s.Received, t.bytes + s.ReceivedBytes, t.skipped + s.Skipped,
		t.duplicates + s.Duplicates, t.missed + s.Missed, t.dropped + s.Dropped, t.handovers + s.Handovers}
}

// An observation is the Stats of the subscriptions with the same attributes: sums, and the maximum
// of ages.
type observation struct {
	totals
	live, stored, timed bool
	leased              bool  // one of them has a lease, or waits for one
	leases              int64 // that are held
	states              [len(states)]int64
	events, maxEvents   int64
	bytes, maxBytes     int64
	unsaved             int64
	oldest, silence     time.Duration
	outage, saved       time.Duration
	lag                 time.Duration
}

var states = [...]client.State{client.StateConnecting, client.StateLive, client.StateFull, client.StateBackingOff,
	client.StateEnded, client.StateBackfilling, client.StatePaused, client.StateStandby}

func (o *observation) add(s *Subscription, t *client.Stats, now time.Time) {
	o.totals = o.plus(t)
	o.live = true
	if i := slices.Index(states[:], t.State); i >= 0 {
		o.states[i]++
	}
	if !t.LeaseUntil.IsZero() {
		o.leases++
	}
	o.leased = o.leased || !t.LeaseUntil.IsZero() || t.State == client.StateStandby
	o.events, o.maxEvents = o.events+int64(t.Buffered), o.maxEvents+int64(t.MaxBuffered)
	o.bytes, o.maxBytes = o.bytes+int64(t.BufferedBytes), o.maxBytes+int64(t.MaxBufferedBytes)
	o.oldest = max(o.oldest, since(now, t.Oldest))
	o.outage = max(o.outage, since(now, t.Outage))
	if t.State != client.StateEnded {
		o.silence = max(o.silence, since(now, later(t.LastMessage, s.started)))
	}
	if s.timed {
		if !o.timed || t.Lag > o.lag {
			o.lag, o.timed = t.Lag, true
		}
	}
	if s.stored {
		o.stored = true
		o.saved = max(o.saved, since(now, later(t.LastSave, s.started)))
		o.unsaved += int64(t.Acked) - min(int64(t.Checkpointed), int64(t.Acked))
	}
}

// since returns the time since t, or 0 if t is zero or later than now.
func since(now, t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t), 0)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// snapshot returns an observation for each set of attributes.
func (in *Instrumentation) snapshot() map[attribute.Set]*observation {
	in.mu.Lock()
	live, ended := slices.Collect(maps.Keys(in.live)), maps.Clone(in.ended)
	in.mu.Unlock()
	all := make(map[attribute.Set]*observation, len(ended)+1)
	for attrs, t := range ended {
		all[attrs] = &observation{totals: t}
	}
	for _, s := range live {
		o := all[s.attrs]
		if o == nil {
			o = &observation{}
			all[s.attrs] = o
		}
		stats := s.Stats()
		if stats.Closed {
			in.retire(s)
			o.totals = o.plus(&stats)
			continue
		}
		o.add(s, &stats, time.Now())
	}
	return all
}

// A series is an observable instrument, and what it shows of an observation.
type series[O metric.Observable, N int64 | float64] struct {
	instrument O
	value      func(*observation) N
	shown      func(*observation) bool
}

func isLive(o *observation) bool   { return o.live }
func isStored(o *observation) bool { return o.live && o.stored }
func isTimed(o *observation) bool  { return o.live && o.timed }
func always(*observation) bool     { return true }

// observe makes the observable instruments and registers their callback.
func (in *Instrumentation) observe(b *builder) {
	var ints []series[metric.Int64Observable, int64]
	var floats []series[metric.Float64Observable, float64]
	var observables []metric.Observable
	counter := func(name, unit, description string, value func(*observation) uint64) {
		c, err := b.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		b.check(err)
		observables = append(observables, c)
		ints = append(ints, series[metric.Int64Observable, int64]{c, func(o *observation) int64 { return int64(value(o)) }, always})
	}
	level := func(name, unit, description string, shown func(*observation) bool, value func(*observation) int64) {
		c, err := b.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		b.check(err)
		observables = append(observables, c)
		ints = append(ints, series[metric.Int64Observable, int64]{c, value, shown})
	}
	age := func(name, description string, shown func(*observation) bool, value func(*observation) time.Duration) {
		g, err := b.meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description))
		b.check(err)
		observables = append(observables, g)
		floats = append(floats, series[metric.Float64Observable, float64]{g,
			func(o *observation) float64 { return value(o).Seconds() }, shown})
	}

	counter("steadfeed.messages.received", "{message}", "Messages read, including those skipped or dropped.",
		func(o *observation) uint64 { return o.received })
	counter("steadfeed.received.size", "By", "Size of the payloads read.", func(o *observation) uint64 { return o.totals.bytes })
	counter("steadfeed.messages.skipped", "{message}", "Messages that are not for the consumer.",
		func(o *observation) uint64 { return o.skipped })
	counter("steadfeed.messages.duplicates", "{message}", "Messages dropped because they were received before.",
		func(o *observation) uint64 { return o.duplicates })
	counter("steadfeed.messages.missed", "{message}", "Messages that are known to be missing and were not repaired.",
		func(o *observation) uint64 { return o.missed })
	counter("steadfeed.messages.dropped", "{message}", "Messages dropped or replaced because the buffer was full.",
		func(o *observation) uint64 { return o.dropped })
	counter("steadfeed.handovers", "{connection}", "Connections that were replaced before their end.",
		func(o *observation) uint64 { return o.handovers })
	level("steadfeed.buffer.usage", "{message}", "Messages received and not acknowledged.", isLive,
		func(o *observation) int64 { return o.events })
	level("steadfeed.buffer.limit", "{message}", "Maximum of steadfeed.buffer.usage.", isLive,
		func(o *observation) int64 { return o.maxEvents })
	level("steadfeed.buffer.size.usage", "By", "Size of the payloads in the buffer.", isLive,
		func(o *observation) int64 { return o.bytes })
	level("steadfeed.buffer.size.limit", "By", "Maximum of steadfeed.buffer.size.usage.", isLive,
		func(o *observation) int64 { return o.maxBytes })
	level("steadfeed.checkpoint.lag", "{message}", "Acknowledged messages that the stored position does not cover.", isStored,
		func(o *observation) int64 { return o.unsaved })
	level("steadfeed.lease.held", "{lease}", "Leases of checkpoints that are held.", func(o *observation) bool { return o.leased },
		func(o *observation) int64 { return o.leases })
	age("steadfeed.oldest.age", "Time since the oldest message in the buffer was received.", isLive,
		func(o *observation) time.Duration { return o.oldest })
	age("steadfeed.silence", "Time since the last message or keepalive.", isLive,
		func(o *observation) time.Duration { return o.silence })
	age("steadfeed.outage.age", "Time since the feed has not worked.", isLive,
		func(o *observation) time.Duration { return o.outage })
	age("steadfeed.event.lag", "Age of one of the last messages when it was received.", isTimed,
		func(o *observation) time.Duration { return o.lag })
	age("steadfeed.checkpoint.age", "Time since the last save that succeeded.", isStored,
		func(o *observation) time.Duration { return o.saved })

	state, err := b.meter.Int64ObservableUpDownCounter("steadfeed.subscription.state",
		metric.WithUnit("{subscription}"), metric.WithDescription("Subscriptions in a state."))
	b.check(err)
	observables = append(observables, state)
	registration, err := b.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for attrs, o := range in.snapshot() {
			with := metric.WithAttributeSet(attrs)
			for _, s := range ints {
				if s.shown(o) {
					to.ObserveInt64(s.instrument, s.value(o), with)
				}
			}
			for _, s := range floats {
				if s.shown(o) {
					to.ObserveFloat64(s.instrument, s.value(o), with)
				}
			}
			if !o.live {
				continue
			}
			for i, n := range o.states {
				to.ObserveInt64(state, n, with, metric.WithAttributes(stateKey.String(states[i].String())))
			}
		}
		return nil
	}, observables...)
	b.check(err)
	in.unobserve = func() error { return nil }
	if err == nil {
		in.unobserve = registration.Unregister
	}
}
