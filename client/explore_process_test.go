package client_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// process is a process that subscribes. It is also its own connection to the store, so that a kill
// cuts it off.
type process struct {
	*world
	sub       *client.Subscription
	cancel    context.CancelFunc
	faults    *rand.Rand // of its connection to the store; guarded by mu
	killed    atomic.Bool
	dialled   atomic.Int32
	consumers sync.WaitGroup
	stopped   chan struct{} // closed at the end
	helpers   sync.WaitGroup

	one    bool // there is only one consumer, which gets events in order
	epoch  uint64
	placed bool // it starts with a position
	fresh  bool // it is the first one, and may start anywhere
	anew   bool // it starts without a position, although there were events before
	copies []*copied
	first  int    // it must get the events after this one
	last   copied // the last event of its only consumer

	furthest int // the last event up to which a process with a Backfill has received everything
}

// copied is an event as it was received: without a token, the same event may be delivered again
// after a reconnect.
type copied struct {
	event, place int
	received     time.Time
	attempt      int
	finished     bool // by its handler, which is acknowledged soon
	acked        bool
}

// begin starts a process, or returns nil if Subscribe fails because of the store.
func (w *world) begin() *process {
	p := &process{world: w, faults: w.dice(), stopped: make(chan struct{}), anew: len(w.feed.Log()) > 0, one: w.rng.IntN(2) == 0}
	ctx, cancel := context.WithCancel(w.t.Context())
	p.cancel = cancel
	o := w.options
	o.Store = p
	if w.buries {
		dice := w.dice()
		o.DeadLetter = func(_ context.Context, ev client.Event, _ error) error { return p.bury(dice, ev) }
	}
	if w.fills {
		dice := w.dice()
		o.Backfill = func(ctx context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
			return p.backfill(ctx, dice, g, deliver)
		}
	}
	o.Trace = &client.Trace{Connecting: func(client.ConnectInfo) {
		if p.dialled.Add(1) > 5000 {
			panic("reconnects forever without a delay")
		}
	}}
	var err error
	if p.sub, err = client.Subscribe(ctx, w.feed, &o); err != nil {
		var ce *client.CheckpointError
		if cancel(); !errors.As(err, &ce) {
			w.t.Errorf("Subscribe: %v, want a CheckpointError", err)
		}
		return nil
	}
	r := w.stored()
	p.epoch, p.placed = r.Epoch, r.Token != ""
	p.fresh, p.anew = r.Epoch == 1, p.anew && !p.placed
	p.first = w.place[r.Token]
	if p.fresh {
		p.first = w.total()
	}
	p.last = copied{event: p.first, place: p.first}
	for n := 1 + w.rng.IntN(3); n > 0; n-- {
		rng := w.dice()
		p.consumers.Go(func() { p.consume(rng) })
		if p.one {
			break
		}
	}
	rng := w.dice()
	p.helpers.Go(func() { p.meddle(rng) })
	return p
}

const (
	graceful = iota
	cancelled
	killed
	drained
	zombie
)

// end ends the process. A zombie is ended later.
func (p *process) end(how int) {
	switch how {
	case zombie:
		p.zombies = append(p.zombies, p)
		return
	case killed:
		p.killed.Store(true)
	case cancelled:
		p.cancel()
		p.sleep(time.Second)
	case drained:
		p.drain()
	}
	low := p.low()
	start := time.Now()
	err := p.sub.Close()
	if d := time.Since(start); d > time.Second {
		p.t.Errorf("Close took %v, want at most 1s", d)
	}
	if r := p.stored(); err == nil && r.Token != "" && p.place[r.Token] < low {
		p.t.Errorf("Close returned nil with %q stored, although everything up to event %d is acknowledged", r.Token, low)
	}
	if errors.Is(err, client.ErrFenced) && p.stored().Epoch == p.epoch {
		p.t.Errorf("Close: got ErrFenced in epoch %d without a takeover", p.epoch)
	}
	p.cancel()
	close(p.stopped)
	p.consumers.Wait()
	p.helpers.Wait()
}

// drain drains for up to ten minutes. Whatever the subscription has received must be handled then, and
// saved.
func (p *process) drain() {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(p.rng.Int64N(int64(10*time.Minute))))
	defer cancel()
	err := p.sub.Drain(ctx)
	var ce *client.CheckpointError
	var refused *client.RefusedError
	var stop *client.StopError // of a Gap at the end, or a 410 to no token
	s, saved := p.sub.Stats(), p.stored()
	switch {
	case err == nil:
		if s.Buffered > 0 || saved.Epoch == p.epoch && s.Checkpointed != s.Acked {
			p.t.Errorf("Drain returned nil with %+v, want everything acknowledged and saved", s)
		}
		if _, err := p.sub.Next(ctx); err != io.EOF {
			p.t.Errorf("Next after Drain: got %v, want io.EOF", err)
		}
	case ctx.Err() != nil, errors.As(err, &ce), errors.As(err, &refused), errors.As(err, &stop), errors.Is(err, client.ErrFenced):
	default:
		p.t.Errorf("Drain: got %v, want nil, the end of its context, or that of the checkpoint", err)
	}
	if n := p.sub.Stats().Received; n != s.Received {
		p.t.Errorf("got %d events received after Drain, want the %d before it", n, s.Received)
	}
}

// meddle reconnects and pauses now and then, and checks the statistics.
func (p *process) meddle(rng *rand.Rand) {
	for {
		select {
		case <-p.stopped:
			return
		case <-time.After(time.Duration(rng.IntN(60_000)) * time.Millisecond):
		}
		s := p.sub.Stats()
		if s.Buffered > p.options.Buffer || s.Acked > s.Received {
			p.t.Errorf("Stats: got %+v, want at most %d buffered and no more acked than received", s, p.options.Buffer)
		}
		// At the end only a stall needs it: an event that waits for space without a token would be
		// lost, and no event follows to carry the Gap.
		if !p.calm.Load() || s.Buffered == 0 {
			p.sub.Reconnect()
		}
		if rng.IntN(4) == 0 {
			p.sub.Pause()
			select {
			case <-p.stopped:
			case <-time.After(time.Duration(rng.IntN(60_000)) * time.Millisecond):
			}
			p.sub.Resume()
		}
	}
}

// low returns the position that must be stored at least, given what was acknowledged.
func (p *process) low() (place int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.copies {
		if !p.one || !c.acked {
			break
		}
		place = max(place, c.place)
	}
	return place
}

func number(ev client.Event) int {
	i, _ := strconv.Atoi(string(ev.Data))
	return i
}

// deliver records that ev was delivered.
func (p *process) deliver(ev client.Event) *copied {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := number(ev)
	if ev.Gap != nil {
		p.gap[i] = true
		if p.placed && !p.lossy || p.fills {
			p.t.Errorf("event %d: got Gap %+v, want none: nothing can be lost", i, *ev.Gap)
		}
	}
	if p.id[i] != "" && ev.Token != p.id[i] && ev.Type != untokened {
		p.t.Errorf("event %d: got token %q, want %q", i, ev.Token, p.id[i])
	}
	if ev.Attempt > 1 {
		// An event may be received twice at one moment, from a Backfill and from the feed.
		for _, c := range slices.Backward(p.copies) {
			if c.event == i && c.received.Equal(ev.Received) && !c.acked && !c.finished && c.attempt == ev.Attempt-1 {
				c.attempt++
				return c
			}
		}
		p.t.Errorf("event %d was delivered after its Ack, in attempt %d", i, ev.Attempt)
	}
	if p.fresh {
		p.first = min(p.first, i-1)
	}
	switch {
	case p.fills:
		p.checkFilled(i)
	case p.one:
		p.checkOrder(i, ev.Gap)
	}
	c := &copied{event: i, place: p.place[ev.Token], received: ev.Received, attempt: 1}
	p.last = *c
	p.copies = append(p.copies, c)
	return c
}

// checkOrder checks that event i may follow p.last: it is the next one, the next one after the
// token of the last one, or its Gap accounts for the rest.
func (p *process) checkOrder(i int, gap *client.Gap) {
	begins := len(p.copies) == 0
	switch {
	case gap != nil, begins && p.fresh:
	case begins && p.anew:
		p.t.Errorf("event %d is the first one after a restart without a position, and has no Gap", i)
	case i != p.next(p.last.event) && i != p.next(p.last.place):
		p.t.Errorf("got event %d after %d, want the next one", i, p.last.event)
	}
}

// next returns the event after i that is not skipped.
func (p *process) next(i int) int {
	for i++; p.skipped(i); i++ {
	}
	return i
}

// work records that the event is handled: from now on the position may pass it.
func (p *process) work(c *copied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[c.event] = true
}

func (p *process) ack(ev client.Event, c *copied) {
	p.work(c)
	if ev.Ack() == nil {
		p.acked(c)
	}
}

// acked records that the event was acknowledged.
func (p *process) acked(copies ...*copied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range copies {
		c.acked = true
	}
}

var errBusy = errors.New("busy")

// refuse refuses ev in one of the ways.
func (p *process) refuse(rng *rand.Rand, ev client.Event) {
	err, _ := p.refusal(rng)
	ev.Nack(err)
}

func (p *process) refusal(rng *rand.Rand) (err error, final bool) {
	switch n := rng.IntN(8); {
	case n < 2 && p.buries, n == 0:
		return client.Terminal(errBusy), true
	case n < 4:
		return client.RetryAfter(time.Duration(rng.IntN(5000))*time.Millisecond, errBusy), false
	}
	return errBusy, false
}

// bury is a DeadLetter that fails now and then. dice is for it alone.
func (p *process) bury(dice *rand.Rand, ev client.Event) error {
	time.Sleep(time.Duration(dice.IntN(500)) * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	if dice.IntN(3) == 0 {
		return errBusy
	}
	p.done[number(ev)] = true
	return nil
}

// consume reads events in one way after another until the feed ends.
func (p *process) consume(rng *rand.Rand) {
	for over := false; !over; {
		switch rng.IntN(4) {
		case 0:
			over = p.loop(rng)
		case 1:
			over = p.batches(rng)
		case 2:
			over = p.nexts(rng)
		case 3:
			over = p.workers(rng)
		}
	}
}

func (p *process) loop(rng *rand.Rand) (over bool) {
	var finished []*copied // when the body ends
	for ev, err := range p.sub.Events() {
		if err != nil {
			return true
		}
		p.acked(finished...)
		finished = nil
		c := p.deliver(ev)
		p.think(rng)
		switch rng.IntN(12) {
		case 0:
			return false // does not acknowledge
		case 1:
			p.refuse(rng, ev) // the end of the body does not undo it
			continue
		case 2, 3:
			p.ack(ev, c)
		case 4:
			p.ack(ev, c)
			return false
		}
		p.work(c)
		finished = append(finished, c)
	}
	return true
}

func (p *process) batches(rng *rand.Rand) (over bool) {
	var finished []*copied // when the body ends
	for batch, err := range p.sub.Batches(rng.IntN(5), time.Duration(rng.IntN(2000))*time.Millisecond) {
		if err != nil {
			return true
		}
		p.acked(finished...)
		finished = nil
		var copies []*copied
		for _, ev := range batch {
			copies = append(copies, p.deliver(ev))
		}
		p.think(rng)
		if rng.IntN(4) == 0 {
			p.ack(batch[0], copies[0])
			return false // acknowledges none of the others
		}
		for i, ev := range batch {
			if rng.IntN(10) == 0 {
				p.refuse(rng, ev)
			} else {
				p.work(copies[i])
				finished = append(finished, copies[i])
			}
		}
	}
	return true
}

// nexts takes some events and settles them in any order.
func (p *process) nexts(rng *rand.Rand) (over bool) {
	var events []client.Event
	var copies []*copied
	for range 1 + rng.IntN(p.options.Buffer) {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(1+rng.IntN(2000))*time.Millisecond)
		ev, err := p.sub.Next(ctx)
		timeout := ctx.Err() != nil
		if cancel(); err != nil {
			over = !timeout
			break
		}
		events = append(events, ev)
		copies = append(copies, p.deliver(ev))
	}
	p.think(rng)
	for _, i := range rng.Perm(len(events)) {
		if rng.IntN(6) == 0 {
			p.refuse(rng, events[i])
			over = false // there is one more
		} else {
			p.ack(events[i], copies[i])
		}
	}
	return over
}

// workers lets handlers work for a while.
func (p *process) workers(rng *rand.Rand) (over bool) {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(1+rng.IntN(60_000))*time.Millisecond)
	defer cancel()
	h := &handlers{process: p, rng: p.copyOf(rng), blocked: make(map[string]*copied), busy: make(map[string]bool)}
	o := &client.ProcessOptions{}
	if !p.one { // otherwise the order of the feed is checked
		o.Workers = rng.IntN(4)
		if h.ordered = rng.IntN(2) == 0; h.ordered {
			o.KeyOf = keyOfNumber
		}
	}
	p.sub.Process(ctx, h.handle, o)
	over = ctx.Err() == nil
	p.acked(h.finished...)
	return over
}

func keyOfNumber(ev client.Event) string { return strconv.Itoa(number(ev) % 3) }

// handlers are the handlers of one call of Process.
type handlers struct {
	*process
	ordered bool // in order for each key

	dice     sync.Mutex
	rng      *rand.Rand
	finished []*copied          // and to be acknowledged
	blocked  map[string]*copied // the refused event of a key, unless DeadLetter may get it
	busy     map[string]bool
}

func (h *handlers) handle(_ context.Context, ev client.Event) error {
	c, rng := h.start(ev)
	h.think(rng)
	return h.end(ev, c, rng)
}

// start checks that ev may be handled now.
func (h *handlers) start(ev client.Event) (*copied, *rand.Rand) {
	h.dice.Lock()
	defer h.dice.Unlock()
	if h.one {
		h.acked(h.finished...)
		h.finished = nil
	}
	c := h.deliver(ev)
	if key := keyOfNumber(ev); h.ordered {
		if h.busy[key] {
			h.t.Errorf("event %d is handled beside another one of its key", c.event)
		}
		if b := h.blocked[key]; b != nil && b != c {
			h.t.Errorf("event %d is handled before event %d, which was refused", c.event, b.event)
		}
		h.busy[key] = true
	}
	return c, h.copyOf(h.rng)
}

// end returns the result of a handler.
func (h *handlers) end(ev client.Event, c *copied, rng *rand.Rand) (err error) {
	h.dice.Lock()
	defer h.dice.Unlock()
	key := keyOfNumber(ev)
	h.busy[key], h.blocked[key] = false, nil
	n := rng.IntN(10)
	if n > 2 {
		h.work(c)
		c.finished = true
		h.finished = append(h.finished, c)
		return nil
	}
	err, final := h.refusal(rng)
	if !h.buries || h.options.MaxAttempts == 0 && !final { // otherwise it may be dead-lettered
		h.blocked[key] = c
	}
	if n == 2 {
		panic(err)
	}
	return err
}

func (p *process) copyOf(rng *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), 0)) }

// think takes time, and commits now and then.
func (p *process) think(rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	}
	if rng.IntN(6) > 0 {
		return
	}
	low := p.low()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	err := p.sub.Commit(ctx)
	if r := p.stored(); err == nil && r.Token != "" && p.place[r.Token] < low {
		p.t.Errorf("Commit returned nil with %q stored, although everything up to event %d is acknowledged", r.Token, low)
	}
}
