package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// An intake turns messages into events of the window. It keeps what a message depends on: the
// position, the pending gap, and the numbers and ids received so far. It is the only producer of
// the window.
//
// One message is handled at a time, under mu: on the goroutine that reads, or on that of a
// sender's request. Functions of Options run there. If one panics, neither the position nor the
// sequence nor the ids have changed, so that the message can be delivered again.
type intake struct {
	opts       *Options
	window     *window.Window
	checkpoint *checkpoint
	report     *reporter

	valve    valve
	overflow policy

	mu       sync.Mutex    // never held across a wait for space
	token    string        // of the last event received: the position to resume after
	gap      *Gap          // for the next event
	lost     *Gap          // for the next event: events that Options.Overflow has dropped, before gap
	hole     *hole         // a gap that Options.Backfill must be asked about, or nil
	asks     bool          // losses are holes: there is a Backfill, and the feed waits for it
	unplaced bool          // the backfill at the start has not named a position; used by the loop
	delay    time.Duration // the last reconnection time that the server asked for
	now      time.Time     // when the last read that had to wait returned
	received uint64        // events read
	bytes    uint64        // of their Data
	signals  uint64        // messages between events that are neither a position nor a reconnection time
	urgent   bool          // the consumer must not wait before it takes the last event
	moved    bool          // the position moved without an event since the last publish

	open   bool   // a Receiver may deliver
	events int    // new events on this connection
	origin string // the position when this connection was opened

	ids       *recent // of Options.Dedupe
	twins     *twins  // instead of ids, for a Receiver with Options.Backfill
	sequences sequences
	covered   sequences // numbers up to which the last backfill made events superfluous
	tail      tail
	atTail    bool // the next event is the first after the initial state
	doubts    doubts
	overlap   overlap
}

// An overlap recognizes the events that both connections of a handover deliver.
type overlap struct {
	seen    *recent           // ids on this connection; nil unless it announces its end
	numbers map[string]uint64 // sequences when its successor was first opened; nil before
	sent    *positions        // since its successor was last opened; nil before

	until  time.Time         // end of the time in which duplicates are expected, while the connection is read
	before *recent           // ids on the connection that this one has replaced
	low    map[string]uint64 // its sequences when this one was first opened
	repeat *positions        // what it sent since this one was opened, if this one resumes
}

// positions are those that a connection has sent since its successor was opened. The successor starts
// after the position at that time, so it sends them once more.
type positions struct {
	start  string         // given to the successor
	events map[string]int // how many events have each later one
}

// add records a position, and an event that has it if there is one.
func (p *positions) add(token string, events int) {
	if p == nil || token == "" || len(p.events) >= overlapIDs {
		return
	}
	p.events[token] += events
}

// has reports whether the connection had sent a position.
func (p *positions) has(token string) bool {
	if p == nil {
		return false
	}
	_, sent := p.events[token]
	return sent || token == p.start
}

// settle records that an event with a position was repeated.
func (p *positions) settle(token string) {
	if p != nil && p.events[token] > 0 {
		p.events[token]--
	}
}

const (
	overlapIDs  = 4096             // ids of the old connection to remember
	overlapTime = 10 * time.Second // how long a successor is read before its events are no longer compared with them
)

// publishBatch is the maximum number of events published at once while more can be read without
// waiting, so that the consumer starts before a long read is complete.
const publishBatch = 256

// progress is what a connection has achieved.
type progress struct {
	events int           // new events received
	moved  bool          // the position has changed
	delay  time.Duration // the last reconnection time that the server asked for
}

// begin starts a connection. follows reports whether it is a successor. No other connection overlaps:
// what it sends may look like what was sent before, if the server counts anew.
func (in *intake) begin(follows bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open, in.events, in.origin = true, 0, in.token
	if !follows {
		in.overlap = overlap{}
	}
}

// finish publishes what a connection has delivered and returns its progress. Nothing is delivered
// until the next begin.
func (in *intake) finish() progress {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open = false
	in.publishStaged()
	return progress{events: in.events, moved: in.token != in.origin, delay: in.delay}
}

// position returns the token to resume after, or "" if there is none.
func (in *intake) position() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.token
}

// pendingGap returns the loss that no event has reported yet, or nil.
func (in *intake) pendingGap() *Gap {
	in.mu.Lock()
	defer in.mu.Unlock()
	return window.JoinGaps(in.lost, in.gap)
}

// A verdict is what follows for a message that was read.
type verdict int

const (
	admitted  verdict = iota
	isFull            // there is no space for it, or the subscription is paused
	isHeld            // it is after a hole, which must be filled first
	overflows         // there is no space for it, and the subscription ends
)

// admit moves a message that was read to the window if there is space and no hole before it. waited
// reports whether the read had to wait. If no more messages are available without waiting, admit
// publishes. The position does not change unless the message is admitted.
func (in *intake) admit(m *transport.Message, waited bool) verdict {
	in.mu.Lock()
	defer in.mu.Unlock()
	if waited {
		in.now = time.Now()
	}
	v := isFull
	if m.Kind != decode.KindData || in.takes(len(m.Data)) {
		v = in.receive(m)
	}
	if v != admitted {
		if v == isFull {
			in.takeGap(m) // it is reported once, however long the message waits
		}
		in.publishStaged()
		return v
	}
	if !m.More || in.window.Unpublished() >= publishBatch {
		in.publishStaged()
	}
	return admitted
}

// deliver moves messages of a Receiver to the window while there is space. See transport.Deliver.
// ctx is that of the connection.
func (in *intake) deliver(ctx context.Context, ms []transport.Message) (accepted int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(ms) == 0 {
		return 0, in.refuses(ctx, &transport.Message{Kind: decode.KindData})
	}
	defer in.publishStaged()
	in.now = time.Now()
	for i := range ms {
		m := ms[i] // the caller's is not changed
		if err := in.refuses(ctx, &m); err != nil {
			return i, err
		}
		in.receive(&m)
	}
	return len(ms), nil
}

// refuses returns why a message of a Receiver cannot be delivered now, or nil. The caller holds mu.
func (in *intake) refuses(ctx context.Context, m *transport.Message) error {
	switch {
	case !in.open || ctx.Err() != nil || in.valve.isShut():
		return transport.ErrClosed
	case m.Kind == decode.KindData && !in.hasRoom(len(m.Data)):
		return transport.ErrFull
	}
	return nil
}

// hasRoom reports whether an event of size bytes may be taken in without effect on another. The caller
// holds mu.
func (in *intake) hasRoom(size int) bool { return in.valve.isOpen() && in.window.Fits(size) }

// hasRoomFor is hasRoom for a caller that does not hold mu.
func (in *intake) hasRoomFor(size int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.hasRoom(size)
}

// isSettled reports whether every event in the window is settled.
func (in *intake) isSettled() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.window.IsSettled()
}

// publish makes what was staged visible to consumers.
func (in *intake) publish() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.publishStaged()
}

// publishStaged is publish for a caller that holds mu.
func (in *intake) publishStaged() {
	in.window.Publish(in.received, in.now, in.urgent)
	if !in.now.IsZero() {
		in.report.flow.publish(in.received, in.bytes, in.signals, in.now)
	}
	if in.moved {
		in.moved = false
		in.checkpoint.touch()
	}
}

// receive handles a message that takes allows. Unless it is admitted, nothing else has changed.
func (in *intake) receive(m *transport.Message) verdict {
	if in.asks {
		if in.takeGap(m); in.hole != nil {
			return isHeld
		}
	}
	if m.Kind == decode.KindData {
		return in.event(m, nil)
	}
	in.takeGap(m)
	in.between(m)
	if m.CaughtUp {
		in.reachTail(true)
	}
	return admitted
}

// between handles what the server sends between events.
func (in *intake) between(m *transport.Message) {
	switch m.Kind {
	case decode.KindPosition:
		// With Options.TokenOf, the framing's ids are not tokens.
		if in.opts.TokenOf == nil && !in.isRepeated(m.Token) {
			in.overlap.sent.add(m.Token, 0)
			in.move(m.Token)
		}
	case decode.KindRetry:
		in.delay = max(m.Delay, retry.MinDelay) // retry: 0 is a value
	default:
		in.signals++
		if in.report.trace.Signal != nil {
			in.report.trace.Signal(*m)
		}
	}
}

// event handles an event: token, dedupe, sequence, skip, gap, window. A skipped event counts in the
// sequence, a duplicate does not. The functions of Options run before anything changes. h is the
// hole that the event is delivered into, nil if it comes from the feed. Unless the event is admitted,
// nothing else has changed.
func (in *intake) event(m *transport.Message, h *hole) verdict {
	var e window.Entry // set field by field; see decode.Reader.Next
	e.Data, e.Type, e.ID, e.Token, e.Delivery = m.Data, m.Type, m.ID, m.Token, m.Delivery
	e.Received, e.Settle, e.Before = in.now, m.Settle, max(m.Attempt-1, 0)
	if h == nil {
		if in.opts.TokenOf != nil {
			e.Token = in.opts.TokenOf(preview(&e))
		}
		in.suspect(&e)
	}
	own := "" // its position, if the feed sent one with it
	if h == nil {
		own = e.Token
	}
	duplicate := in.isKnown(&e, h) || e.ID == "" && in.isRepeated(own) && in.overlap.repeat.events[own] > 0
	if e.Token == "" {
		e.Token = in.token
	}
	var num number
	if !duplicate && in.opts.SequenceOf != nil {
		num = in.number(&e)
		duplicate = h == nil && in.isOld(num) || in.isCovered(num, h)
		if in.asks && h == nil && !duplicate && in.reveals(num) {
			return isHeld
		}
	}
	skip := !duplicate && in.opts.Skip != nil && in.opts.Skip(preview(&e))
	lag, timed := in.lag(&e, m, h, duplicate || skip)
	var place place
	if in.overflow != blocks && !duplicate && !skip {
		var v verdict
		if place, v = in.findPlace(&e, m, num, h); v != admitted {
			return v
		}
	}

	in.received++
	in.bytes += uint64(len(m.Data))
	in.urgent = m.Settle != nil || m.Delivery != nil // a request costs far more than a wake-up
	in.takeGap(m)
	if h == nil {
		in.count(num, duplicate)
		if !duplicate {
			in.events++
		}
	}
	in.remember(&e, own, duplicate)
	switch {
	case duplicate:
		in.report.stats.duplicates.Add(1)
		drop(&e)
	case skip:
		in.report.stats.skipped.Add(1)
		drop(&e)
		in.move(e.Token)
	case place.kind == dropped:
		in.dropNew(&e)
	case place.kind == replaced:
		in.token, in.moved = e.Token, true
	default:
		if in.gap != nil || in.lost != nil {
			e.Gap, in.gap, in.lost = window.JoinGaps(in.lost, in.gap), nil, nil
			e.Gap.To = e.Token
		}
		if in.atTail {
			e.CaughtUp, in.atTail = true, false
		}
		if m.CaughtUp && !in.tail.isReached() {
			e.CaughtUp = true
		}
		in.stage(&e, place.key)
	}
	if timed && place.kind != dropped {
		in.report.flow.lag.Store(int64(lag))
	}
	if m.CaughtUp {
		in.reachTail(duplicate || skip || place.kind == dropped)
	}
	return admitted
}

// lag returns how old an event was when it was received. It is measured for the last event of a batch
// only, and not for those of a backfill, which are old in any case.
func (in *intake) lag(e *window.Entry, m *transport.Message, h *hole, dropped bool) (lag time.Duration, ok bool) {
	if in.opts.EventTime == nil || dropped || h != nil || m.More && in.window.Unpublished()+1 < publishBatch {
		return 0, false
	}
	at := in.opts.EventTime(preview(e))
	return in.now.Sub(at), !at.IsZero()
}

// preview returns the event that the functions of Options see.
func preview(e *window.Entry) (ev Event) {
	ev = Event{Data: e.Data, Type: e.Type, ID: e.ID, Token: e.Token, Received: e.Received, Attempt: 1}
	ev.setRare(&e.Rare)
	return ev
}

// drop settles an event that no consumer gets.
func drop(e *window.Entry) {
	if e.Settle != nil {
		e.Settle(nil)
	}
}

// move changes the position without an event. The checkpoint follows, unless it would pass a loss
// that no event has reported yet, or replace a position by none: then it moves with the next event.
func (in *intake) move(token string) {
	in.token = token
	if in.gap == nil && in.lost == nil && token != "" {
		in.window.StagePosition(token)
		in.moved = true
	}
}

// isUnique reports whether no other event has the same id. A sender that waits for an
// acknowledgement repeats an event on purpose.
func isUnique(e *window.Entry) bool { return e.ID != "" && e.Settle == nil }

// isKnown reports whether the event was received before, by its ID. h is the hole that the event is
// delivered into, nil if it comes from the feed: a backfill does not overlap with a connection.
func (in *intake) isKnown(e *window.Entry, h *hole) bool {
	if in.twins != nil {
		return in.twins.meet(e)
	}
	return isUnique(e) && (in.ids.has(e.ID) || h == nil && in.isOverlapping() && in.overlap.before.has(e.ID))
}

// remember records the id and the own position of an event.
func (in *intake) remember(e *window.Entry, own string, duplicate bool) {
	in.overlap.sent.add(own, 1)
	in.overlap.repeat.settle(own)
	if in.twins != nil && !duplicate {
		in.twins.add(e)
	}
	if !isUnique(e) {
		return
	}
	in.ids.add(e.ID)
	in.overlap.seen.add(e.ID)
	if in.isOverlapping() {
		in.overlap.before.forget(e.ID)
	}
}

// isRepeated reports whether the successor of a connection sends a position that the connection has
// sent before.
func (in *intake) isRepeated(token string) bool {
	return in.overlap.repeat.has(token) && in.isOverlapping()
}

func (in *intake) isOverlapping() bool { return in.now.Before(in.overlap.until) }

// unread records that the connection was not read for d. What it has sent meanwhile is still unread.
func (in *intake) unread(d time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.overlap.until.IsZero() {
		in.overlap.until = in.overlap.until.Add(d)
	}
}

// A number is the number of an event within the numbering of its key.
type number struct {
	key string
	n   uint64
	ok  bool
}

func (in *intake) number(e *window.Entry) (num number) {
	num.key, num.n, num.ok = in.opts.SequenceOf(preview(e))
	in.suspectNumber(num.ok)
	return num
}

// isOld reports whether an event's number shows that it was received before. If a key without a
// number at the handover may have been forgotten, its numbers show nothing.
func (in *intake) isOld(num number) bool {
	if !num.ok || !in.isOverlapping() {
		return false
	}
	last, known := in.sequences.last(num.key)
	low, had := in.overlap.low[num.key]
	return known && (had || !in.sequences.forgot) && num.n <= last && num.n > low
}

// count records the number of an event. A number that is skipped is a gap.
func (in *intake) count(num number, duplicate bool) {
	if !num.ok || duplicate {
		return
	}
	last, known := in.sequences.last(num.key)
	in.sequences.set(num.key, num.n)
	if known && num.n > last+1 {
		in.loseOne(Gap{Reason: transport.GapSequence, From: in.token, Key: num.key, Missed: num.n - last - 1})
	}
}

// takeGap records the gap of a message and removes it from the message.
func (in *intake) takeGap(m *transport.Message) {
	if m.Gap == nil {
		return
	}
	g := *m.Gap
	m.Gap = nil
	if g.From == "" {
		g.From = in.token
	}
	in.loseOne(g)
}

// lose records a loss. Of several before the same event, the first one is kept, because it reaches
// back furthest.
func (in *intake) lose(g Gap) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.loseOne(g)
}

// loseOne is lose for a caller that holds mu. A loss next to one that is pending is part of it.
func (in *intake) loseOne(g Gap) {
	switch {
	case in.asks && in.hole != nil:
		in.hole.widen(g)
	case in.asks && in.gap == nil:
		in.hole = in.newHole(g)
		in.hole.losses = 1
	default:
		in.pend(g)
	}
	in.report.gap(g)
}

// pend makes a loss known to the next event.
func (in *intake) pend(g Gap) {
	in.report.flow.missed.Add(g.Missed)
	if in.gap == nil {
		in.gap = &g
	} else {
		in.gap.Missed += g.Missed
	}
}

// placed is called when a connection is open. before reports whether there was one, and resumes
// whether this one continues at the position. If it does not, events may have been lost in between.
// A pushed feed has no positions, and loses none: its Options.Backfill is asked at each start.
func (in *intake) placed(before, resumes, pushed bool) {
	switch {
	case resumes:
	case pushed && !before && in.opts.Backfill != nil:
		in.openHole(transport.GapStart)
	case pushed && in.opts.Backfill != nil:
		in.openHole(transport.GapNoToken)
	case pushed:
	case before:
		in.interrupted()
	default:
		in.unplaced = in.unplaced || in.asks && in.position() != "" // which was not presented
		in.settlePlace()
	}
	in.unplaced = false
}

// settlePlace opens a hole if the backfill at the start has not named a position: what was sent
// between it and the connection is missing.
func (in *intake) settlePlace() {
	if in.unplaced {
		in.openHole(transport.GapNoToken)
		in.unplaced = false
	}
}

// interrupted records that events may have been lost between two connections, unless a gap already
// reports that.
func (in *intake) interrupted() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gap == nil && in.hole == nil {
		in.loseOne(Gap{Reason: transport.GapNoToken})
	}
}

// rejected records that the server no longer knows the position. The next connection resumes after
// the token that err names instead, or without a position if it names none or the rejected one.
func (in *intake) rejected(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.token == "" {
		return
	}
	was, next, names := in.token, "", transport.PositionError(nil)
	if errors.As(err, &names) && names.ResumeAfter() != was {
		next = names.ResumeAfter()
	}
	in.loseOne(Gap{Reason: transport.GapTokenRejected, From: was, Err: err})
	if in.hole != nil {
		in.hole.next = next // the position stays until the hole is closed
		return
	}
	in.token = next
}

// expectHandover records the ids of this connection from now on, because it announces its end.
func (in *intake) expectHandover() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.overlap.seen = newRecent(overlapIDs)
}

// successorPosition returns the position from which to open a successor of this connection. The
// successor's duplicates have higher numbers than those received before the first call.
func (in *intake) successorPosition() (token string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.overlap.numbers == nil {
		in.overlap.numbers = in.sequences.all()
	}
	in.overlap.sent = &positions{start: in.token, events: make(map[string]int)}
	return in.token
}

// switchOver replaces this connection by its successor. resumes reports whether that has started at
// the position, and lost whether events may have been lost between the two.
func (in *intake) switchOver(resumes, lost bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	next := overlap{until: time.Now().Add(overlapTime), before: in.overlap.seen, low: in.overlap.numbers}
	if resumes {
		next.repeat = in.overlap.sent
	}
	in.overlap = next
	if lost {
		in.loseOne(Gap{Reason: transport.GapNoToken, From: in.token})
	}
}
