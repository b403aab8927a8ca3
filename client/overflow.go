package client

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/steadfeed/steadfeed/client/internal/window"
	"github.com/steadfeed/steadfeed/transport"
)

// An Overflow is a policy for a full buffer; see [Options].Overflow. Whatever it drops is counted in
// [Stats].Dropped and passed to [Trace].Dropped, and the checkpoint never passes an event that is
// delivered and not acknowledged.
//
// OverflowDropOldest and OverflowDropNewest lose events: the next event has a [Gap] with the reason
// transport.GapOverflow, and Missed is their number. Options.Backfill is not asked for it. A dropped
// event counts as received: a reconnect resumes after it, SequenceOf sees no jump, and Dedupe drops a
// repetition. After a restart, dropped events come again unless the event that reports their loss, or a
// later one, is covered by the stored position.
//
// No policy drops an event that a consumer has taken: it stays in the buffer until it is acknowledged,
// also if it was refused.
type Overflow string

const (
	// OverflowBlock waits for space, so the feed slows down. Nothing is dropped.
	OverflowBlock Overflow = ""

	// OverflowDropOldest drops the event that has waited longest for a consumer, or the new one if
	// consumers have taken all others. The connection is always read.
	OverflowDropOldest Overflow = "drop oldest"

	// OverflowDropNewest drops the new event. The connection is always read.
	OverflowDropNewest Overflow = "drop newest"

	// OverflowLatest keeps only the latest event of each key ([Options].KeyOf) among those that
	// wait for a consumer, also while there is space: a new event takes the place of the older one.
	// So a slow consumer sees each key in turn, with its present state, and the feed is not slowed
	// down. This is for events that supersede the earlier ones of their key, such as prices, and
	// never for changes.
	//
	// The order of the feed holds within a key, but not between keys. A refused event comes again
	// after newer ones of its key, unless [Subscription.Process] has that key. Event.Replaced is the number of
	// events that the event has replaced. That is no Gap, because nothing is missing: the latest event
	// of each key is always delivered. No event takes a place before a Gap that it came after.
	//
	// If the buffer is full of events that cannot be replaced, a new one waits, as with OverflowBlock.
	// So make Buffer larger than the number of keys and of the events that consumers hold.
	OverflowLatest Overflow = "latest"

	// OverflowStop ends the subscription with a [*StopError] whose Cause is ErrOverflow, after what
	// is in the buffer was delivered. The event without space is not received: with a Store, a
	// restart resumes before it.
	OverflowStop Overflow = "stop"
)

// ErrOverflow is the cause of the end of a subscription with [OverflowStop] whose buffer was full.
var ErrOverflow = errors.New("client: the buffer is full and Options.Overflow is OverflowStop")

// problems returns what is wrong with the options about a full buffer.
func (p Overflow) problems(o *Options, pushed bool) (list []error) {
	problem := func(format string, args ...any) { list = append(list, fmt.Errorf(format, args...)) }
	switch p {
	case OverflowBlock, OverflowDropOldest, OverflowDropNewest, OverflowLatest, OverflowStop:
	default:
		problem("Options.Overflow: %q is none of the policies", string(p))
	}
	if pushed && p != OverflowBlock {
		problem("Options.Overflow: remove it: a sender whose delivery is refused while the buffer is full repeats it")
	}
	if p == OverflowLatest && o.KeyOf == nil {
		problem("Options.KeyOf: is required with OverflowLatest")
	}
	if p != OverflowLatest && o.KeyOf != nil {
		problem("Options.KeyOf: has no effect without OverflowLatest: set Overflow or remove it")
	}
	return list
}

// A policy is an Overflow in a form that is fast to compare.
type policy uint8

const (
	blocks policy = iota
	dropsOldest
	dropsNewest
	keepsLatest
	stops
)

func policyOf(o *Options) policy {
	switch o.Overflow {
	case OverflowDropOldest:
		return dropsOldest
	case OverflowDropNewest:
		return dropsNewest
	case OverflowLatest:
		return keepsLatest
	case OverflowStop:
		return stops
	}
	return blocks
}

// usesQueue reports whether events that wait may be dropped or replaced.
func (p policy) usesQueue() bool { return p == dropsOldest || p == keepsLatest }

// waits reports whether an event waits for space.
func (p policy) waits() bool { return p == blocks || p == keepsLatest }

// drops reports whether an event is dropped if there is no space.
func (p policy) drops() bool { return p == dropsOldest || p == dropsNewest }

// takes reports whether an event of size bytes may be received. With some policies, that depends on
// the event. The caller holds mu.
func (in *intake) takes(size int) bool {
	return in.valve.isOpen() && (in.overflow != blocks || in.window.Fits(size))
}

// fits reports whether an event of size bytes that had to wait may be received.
func (in *intake) fits(size int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.valve.isOpen() && (!in.overflow.waits() || in.window.Fits(size))
}

// isHalfFree reports whether events may be taken in, and half of the window is free or need not be.
func (in *intake) isHalfFree() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.valve.isOpen() && (in.overflow.drops() || in.window.IsHalfFree())
}

// A place is where an event goes under a policy.
type place struct {
	kind placeKind
	key  string // the event may be replaced by one with this key, unless it is empty
}

type placeKind uint8

const (
	appended placeKind = iota
	replaced           // it is already in the place of an older event
	dropped
)

// findPlace decides where an event goes, and makes room for it. It is called before anything else
// changes. An event from a hole has waited for space.
func (in *intake) findPlace(e *window.Entry, m *transport.Message, num number, h *hole) (p place, v verdict) {
	size := len(e.Data)
	switch in.overflow {
	case keepsLatest:
		if p.key = in.opts.KeyOf(preview(e)); p.key != "" && !in.isPlaced(m, num, h) {
			if old, ok := in.window.Replace(e, p.key); ok {
				in.reportDropped(&old)
				return place{kind: replaced}, admitted
			}
		}
		if !in.window.Fits(size) {
			return p, isFull
		}
	case stops:
		if !in.window.Fits(size) {
			return p, overflows
		}
	case dropsOldest:
		in.dropOldest(size)
		fallthrough
	default:
		if !in.window.Fits(size) {
			p.kind = dropped
		}
	}
	return p, admitted
}

// isPlaced reports whether an event must not take an earlier place: it reports a loss, or that the
// initial state is complete.
func (in *intake) isPlaced(m *transport.Message, num number, h *hole) bool {
	if m.Gap != nil || in.gap != nil || in.atTail || m.CaughtUp && !in.tail.isReached() {
		return true
	}
	last, known := in.sequences.last(num.key)
	return h == nil && num.ok && known && num.n > last+1
}

// stage adds an event to the window.
func (in *intake) stage(e *window.Entry, key string) {
	if in.overflow.usesQueue() {
		in.window.Enqueue(e, key, in.token)
	} else {
		in.window.Stage(e)
	}
	in.token = e.Token
	if in.overflow.drops() {
		in.window.Crowd(!in.window.Fits(0))
	}
}

// dropOldest drops events that wait until there is space for size bytes.
func (in *intake) dropOldest(size int) {
	for {
		d, ok := in.window.DropOldest(size)
		if !ok {
			return
		}
		if d.Loss != nil {
			in.lost = window.JoinGaps(d.Loss, in.lost)
		}
		in.atTail = in.atTail || d.CaughtUp
		in.reportDropped(&d.Slot)
		in.report.lost()
		if d.IsNew {
			in.report.gap(Gap{Reason: transport.GapOverflow, From: d.From, Missed: 1})
		}
	}
}

// dropNew drops the event that was received last.
func (in *intake) dropNew(e *window.Entry) {
	in.window.Crowd(true)
	in.report.overflowed(preview(e))
	in.report.lost()
	from := in.token
	in.token = e.Token
	switch {
	case in.gap != nil:
		in.gap.Missed++
	case in.lost != nil:
		in.lost.Missed++
	default:
		in.lost = &Gap{Reason: transport.GapOverflow, From: from, Missed: 1}
		in.report.gap(*in.lost)
	}
}

func (in *intake) reportDropped(slot *window.Slot) {
	ev := Event{}
	ev.set(slot)
	ev.Attempt++ // like the preview of an event
	in.report.overflowed(ev)
}

// overflowed reports an event that was dropped or replaced.
func (r *reporter) overflowed(e Event) {
	r.stats.dropped.Add(1)
	if r.trace.Dropped != nil {
		r.trace.Dropped(e)
	}
}

// lost reports that an event was lost.
func (r *reporter) lost() {
	r.flow.missed.Add(1)
	r.logLimited(&r.quotas.overflow, slog.LevelWarn, "events may be missing", []any{"reason", string(transport.GapOverflow)})
}
