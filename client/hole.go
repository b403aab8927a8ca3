package client

import (
	"cmp"
	"fmt"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// A hole is a gap that Options.Backfill has not answered yet. There is at most one at a time.
//
// While there is a hole, the feed is not admitted: the message that revealed it is held, or the
// connection is not opened. The position stays where it was before the gap, and an event of the
// backfill without a token inherits that position. So the checkpoint moves inside the gap only to
// tokens that the backfill itself names, and a process that dies meanwhile finds the same gap
// again. The answer closes the hole and moves the position to what follows it.
type hole struct {
	gap     Gap
	losses  uint64    // gaps reported; 0: nothing is lost if it stays open
	next    string    // GapTokenRejected: the token that the server names instead
	held    number    // GapSequence: of the event after the gap
	moved   bool      // the backfill has named a token
	events  uint64    // that the backfill has delivered
	numbers sequences // the last number of each key among them
}

// isBeforeConnecting reports whether the hole must be filled before a connection is opened: there is
// no position to connect with.
func (h *hole) isBeforeConnecting() bool {
	return h.gap.Reason == transport.GapStart || h.gap.Reason == transport.GapTokenRejected
}

// isInitial reports whether the backfill delivers the state from which the feed continues.
func (h *hole) isInitial() bool {
	return h.isBeforeConnecting() || h.gap.Reason == transport.GapNoToken
}

// newHole returns a hole that nothing was delivered into.
func (in *intake) newHole(g Gap) *hole {
	return &hole{gap: g, numbers: sequences{limit: in.opts.SequenceKeys}}
}

// prepare opens the hole of a subscription that starts without a position, if there is an
// Options.Backfill to fill it.
func (in *intake) prepare(pushed bool) {
	in.tail.reached = make(chan struct{})
	switch {
	case in.opts.Backfill == nil:
	case pushed:
		in.twins = newTwins(in.opts.Dedupe)
	default:
		in.asks = true
	}
}

// start is called before the first connection.
func (in *intake) start() {
	if in.asks && in.token == "" {
		in.openHole(transport.GapStart)
	}
}

// openHole opens a hole that is no loss, unless there is one.
func (in *intake) openHole(reason transport.GapReason) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.hole == nil {
		in.hole = in.newHole(Gap{Reason: reason})
	}
}

// currentHole returns the hole to fill, or nil.
func (in *intake) currentHole() *hole {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.hole
}

// widen records another loss at the place of the hole.
func (h *hole) widen(g Gap) {
	h.losses++
	h.gap.Missed += g.Missed
	h.gap.From = cmp.Or(h.gap.From, g.From)
	if h.gap.Err == nil {
		h.gap.Err = g.Err
	}
	if g.Reason == transport.GapTokenRejected {
		h.gap.Reason = g.Reason
	}
}

// asked returns what Options.Backfill is asked for: the rest of the gap.
func (in *intake) asked(h *hole) Gap {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.rest(h)
}

// delivered returns the number of events that were delivered into the hole.
func (in *intake) delivered(h *hole) uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return h.events
}

// rest returns the part of the gap that was not delivered yet. The caller holds mu.
func (in *intake) rest(h *hole) Gap {
	g := h.gap
	if h.moved {
		g.From = in.token
	}
	if n, ok := h.numbers.last(h.held.key); ok && h.held.ok {
		last, _ := in.sequences.last(h.held.key)
		g.Missed = h.held.n - min(h.held.n, max(last, n)+1)
	}
	return g
}

// shortage returns an error if the numbers of the backfill show that events are still missing.
func (in *intake) shortage(h *hole) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if n, ok := h.numbers.last(h.held.key); ok && h.held.ok && n < h.held.n-1 {
		return fmt.Errorf("client: Options.Backfill delivered up to number %d, want %d", n, h.held.n-1)
	}
	return nil
}

// fill moves a message of the backfill to the window if there is space, and reports whether there
// was.
func (in *intake) fill(h *hole, m *transport.Message) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if m.Kind == decode.KindData && !in.hasRoom(len(m.Data)) {
		return false
	}
	in.now = time.Now()
	if m.Gap != nil {
		in.pend(*m.Gap)
		in.report.gap(*m.Gap)
		m.Gap = nil
	}
	before := in.token
	switch {
	case m.Kind == decode.KindData:
		h.events++
		in.event(m, h)
	case m.Kind == decode.KindPosition && m.Token != "":
		in.move(m.Token)
	}
	h.moved = h.moved || in.token != before
	in.publishStaged()
	return true
}

// repaired closes a hole: the backfill has delivered what was missing. The feed continues after
// token, or after the last token delivered if it is empty.
func (in *intake) repaired(h *hole, token string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.hole = nil
	in.report.stats.repaired.Add(h.losses)
	if in.asks {
		if h.gap.Reason != transport.GapSequence || token != "" {
			in.sequences = h.numbers.clone()
		}
		in.close(h, token)
		in.unplaced = h.gap.Reason == transport.GapStart && in.token == ""
	}
	if h.isInitial() && !in.unplaced {
		in.reachTail(true)
	}
	in.publishStaged()
}

// accepted closes a hole that was not filled: the next event reports it. lossy reports whether an
// earlier connection may have been at another position.
func (in *intake) accepted(h *hole, token string, lossy bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.hole = nil
	if !in.asks {
		return
	}
	g := in.rest(h)
	switch {
	case h.gap.Reason == transport.GapStart && lossy:
		g.Reason = transport.GapNoToken
		in.report.gap(g)
		in.pend(g)
	case h.losses > 0:
		in.pend(g)
	case h.gap.Reason == transport.GapNoToken: // between the start and the connection
		in.report.gap(g)
		in.pend(g)
	}
	if h.gap.Reason != transport.GapSequence && h.numbers.any() {
		in.sequences = h.numbers.clone()
	}
	in.close(h, token)
	in.publishStaged()
}

// close continues after the hole. The caller holds mu.
func (in *intake) close(h *hole, token string) {
	if h.gap.Reason == transport.GapSequence && token == "" {
		in.continueNumbers(h)
	} else {
		in.covered = h.numbers
	}
	if token == "" && !h.moved && h.gap.Reason == transport.GapTokenRejected {
		in.token, token = "", h.next
	}
	if token != "" {
		in.move(token)
	}
}

// continueNumbers makes the event after a jump the next one of its key, and continues with the
// numbers that the backfill has delivered. Other keys may be covered by an earlier backfill. The
// caller holds mu.
func (in *intake) continueNumbers(h *hole) {
	in.covered.limit = in.opts.SequenceKeys
	for key, n := range h.numbers.all() {
		if last, known := in.sequences.last(key); !known || n > last {
			in.sequences.set(key, n)
			in.covered.set(key, n)
		}
	}
	if last, _ := in.sequences.last(h.held.key); h.held.ok && last < h.held.n-1 {
		in.sequences.set(h.held.key, h.held.n-1)
	}
}

// reveals opens a hole if the number of an event skips others, and reports whether it did.
func (in *intake) reveals(num number) bool {
	if !num.ok || in.gap != nil {
		return false
	}
	last, known := in.sequences.last(num.key)
	if !known || num.n <= last+1 {
		return false
	}
	in.loseOne(Gap{Reason: transport.GapSequence, From: in.token, Key: num.key, Missed: num.n - last - 1})
	in.hole.held = num
	return true
}

// isCovered reports whether a backfill has made an event superfluous. h is the hole that the event
// is delivered into, nil if it comes from the feed. Within a jump, what was received before it is
// not needed again; elsewhere the numbers of a backfill say nothing, because it may start anew.
func (in *intake) isCovered(num number, h *hole) bool {
	if !num.ok {
		return false
	}
	if h != nil {
		h.numbers.set(num.key, num.n)
		last, known := in.sequences.last(num.key)
		return known && num.n <= last && h.gap.Reason == transport.GapSequence
	}
	n, ok := in.covered.last(num.key)
	if ok && num.n > n {
		in.covered.forget(num.key)
	}
	return ok && num.n <= n
}
