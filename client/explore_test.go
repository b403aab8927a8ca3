package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

var (
	exploreSeed = flag.Uint64("explore.seed", 1, "first seed of TestExplore")
	exploreRuns = flag.Int("explore.runs", 1000, "schedules of TestExplore")
)

// TestExplore plays random schedules: a feed that breaks in every way, processes that
// end gracefully, are killed, or live on beside their successor, a store whose calls fail,
// take effect late or lie about it, and consumers that acknowledge out of order, refuse and
// leave. After each one the promises must hold:
//
//   - every event was worked on, or lies before one that carries a Gap;
//   - each process begins behind the stored position and goes on without a hole;
//   - the stored position never moves back and never passes an event in hand;
//   - what Commit and Close report as saved, is; and Close returns within a second.
//
// A seed fixes the schedule but not how goroutines interleave: run a seed that fails some
// hundred times, go test -run TestExplore -explore.seed=N -explore.runs=1 -count=200.
func TestExplore(t *testing.T) {
	for seed := *exploreSeed; seed < *exploreSeed+uint64(*exploreRuns) && !t.Failed(); seed++ {
		explore(t, seed)
	}
}

func explore(t *testing.T, seed uint64) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("a goroutine is left or everything waits: %v", p)
		}
		if t.Failed() {
			t.Logf("again with -explore.seed=%d -explore.runs=1", seed)
		}
	}()
	bubble(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t, rng)
		for range 1 + rng.IntN(4) {
			if p := w.begin(); p != nil {
				w.sleep(time.Minute)
				p.end(rng.IntN(4))
			}
		}
		w.calm.Store(true)
		for _, p := range w.zombies {
			p.end(graceful)
		}
		w.drain()
		w.checkEvents()
		w.checkHistory()
	})
}

// world is what one schedule plays in, and what is known of each event. Events are
// numbered from 1; the number is their data.
type world struct {
	t       *testing.T
	feed    *mock.Feed
	store   *mock.Store
	calm    atomic.Bool // the store has no more faults
	options client.Options
	zombies []*process // that were not ended when their successor began

	id    []string       // of each event; empty for one that has none
	place map[string]int // the last event before each token

	rng *rand.Rand // only for the goroutine that directs

	mu   sync.Mutex
	done []bool // skipped, or worked on and to be acknowledged next
	gap  []bool // was handed out with a Gap
}

func newWorld(t *testing.T, rng *rand.Rand) *world {
	n := 5 + rng.IntN(25)
	w := &world{
		t: t, store: mock.NewStore(), rng: rng, place: map[string]int{},
		id: make([]string, n+1), done: make([]bool, n+1), gap: make([]bool, n+1),
	}
	w.feed = mock.NewFeed(w.script()...)
	w.options = client.Options{
		Name: "n", Store: w.store,
		CommitEvery: []time.Duration{-1, time.Millisecond, time.Second}[rng.IntN(3)],
		Buffer:      1 + rng.IntN(10),
		BufferBytes: []int{0, 5, 20}[rng.IntN(3)],
		Dedupe:      rng.IntN(2) * 100,
	}
	if rng.IntN(3) == 0 {
		w.options.Skip = func(ev client.Event) bool { return w.skipped(number(ev)) }
	}
	for i := range w.done {
		w.done[i] = w.skipped(i)
	}
	return w
}

func (w *world) total() int { return len(w.id) - 1 }

func (w *world) skipped(i int) bool { return w.options.Skip != nil && i%5 == 4 && i < w.total() }

// script is the feed's: all events but the last, most of them with an id, and mishaps
// in between.
func (w *world) script() (script []mock.Step) {
	for i := 1; i < w.total(); i++ {
		for w.rng.IntN(3) == 0 {
			script = append(script, w.mishap(i-1))
		}
		if w.rng.IntN(4) > 0 {
			w.id[i] = fmt.Sprint("t", i)
			w.place[w.id[i]] = i
		}
		script = append(script, mock.Event(w.id[i], strconv.Itoa(i)))
	}
	return script
}

// mishap happens behind the event after.
func (w *world) mishap(after int) mock.Step {
	switch w.rng.IntN(24) {
	case 0, 1, 2, 3:
		return mock.Drop()
	case 4, 5:
		return mock.End()
	case 6, 7:
		return mock.Refuse()
	case 8, 9:
		return mock.Status(http.StatusServiceUnavailable)
	case 10:
		return mock.Status(http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}})
	case 11:
		return mock.Status(http.StatusGone) // the token is rejected
	case 12:
		return mock.Stall()
	case 13:
		return mock.Position("") // the token is taken back
	case 14:
		return mock.Retry(time.Second)
	case 15, 16:
		return mock.Keepalive()
	case 17, 18:
		token := fmt.Sprint("p", after)
		w.place[token] = after
		return mock.Position(token)
	}
	return mock.Pause(time.Duration(w.rng.IntN(5000)) * time.Millisecond)
}

// dice returns a generator for one goroutine.
func (w *world) dice() *rand.Rand {
	return rand.New(rand.NewPCG(w.rng.Uint64(), 0))
}

func (w *world) sleep(most time.Duration) { time.Sleep(time.Duration(w.rng.Int64N(int64(most)))) }

// stored returns the record in the store.
func (w *world) stored() (r stored) {
	data, _ := w.store.Record("n")
	if data != nil {
		if err := json.Unmarshal(data, &r); err != nil {
			w.t.Errorf("the record: %v", err)
		}
	}
	return r
}

// drain lets processes work in peace until the feed is complete. The last event comes
// now, for the Gap of a loss at the end to travel on.
func (w *world) drain() {
	for n := range 20 {
		p := w.begin()
		if n == 0 {
			w.feed.Publish(mock.Event("", strconv.Itoa(w.total())), mock.Complete())
		}
		if p == nil {
			w.t.Fatal("Subscribe fails although the store is well")
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Hour)
		stuck := context.AfterFunc(ctx, func() {
			w.t.Errorf("stuck: %+v", p.sub.Stats())
			p.sub.Close()
		})
		p.consumers.Wait()
		stuck()
		cancel()
		_, err := p.sub.Next(w.t.Context())
		p.end(graceful)
		if err == io.EOF || w.t.Failed() {
			return
		}
	}
	w.t.Error("no end in sight")
}

// checkEvents looks for an event that nobody was given and no Gap accounts for.
func (w *world) checkEvents() {
	for i := w.total(); i > 0; i-- {
		if !w.done[i] && !w.excused(i, w.total()) {
			w.t.Errorf("event %d of %d is lost", i, w.total())
		}
	}
}

// excused reports whether an event up to last carries a Gap that accounts for event i.
// The caller holds mu, or is alone.
func (w *world) excused(i, last int) bool {
	for i++; i <= last; i++ {
		if w.gap[i] {
			return true
		}
	}
	return false
}

// checkHistory looks for a record that is behind the one before it.
func (w *world) checkHistory() {
	var last stored
	for _, data := range w.store.History("n") {
		var r stored
		json.Unmarshal(data, &r)
		back := r.Epoch < last.Epoch || r.Events < last.Events ||
			r.Epoch == last.Epoch && (r.Owner != last.Owner || r.Write <= last.Write) ||
			r.Token != "" && w.place[r.Token] < w.place[last.Token]
		if back {
			w.t.Errorf("the record moved back from %+v to %+v", last, r)
		}
		if r.Token == "" {
			r.Token = last.Token
		}
		last = r
	}
}

// process is a process that subscribes. It is its own way to the store, so that a kill
// cuts it off.
type process struct {
	*world
	sub       *client.Subscription
	cancel    context.CancelFunc
	faults    *rand.Rand // of its way to the store; guarded by mu
	killed    atomic.Bool
	dialled   atomic.Int32
	consumers sync.WaitGroup
	stopped   chan struct{} // closed at the end
	helpers   sync.WaitGroup

	one    bool // only one consumer: what it gets is in order
	fresh  bool // nobody subscribed before: it may begin anywhere
	anew   bool // it begins without a position, although there were events before
	copies []*copied
	first  int    // what it is to be given begins behind this event
	last   copied // what one consumer was given last
}

// copied is an event as it was received: the same event may come again after a reconnect
// if it has no token.
type copied struct {
	event, place int
	acked        bool
}

// begin starts a process, or returns nil if Subscribe fails for the store's sake.
func (w *world) begin() *process {
	p := &process{world: w, faults: w.dice(), stopped: make(chan struct{}), anew: len(w.feed.Log()) > 0, one: w.rng.IntN(2) == 0}
	ctx, cancel := context.WithCancel(w.t.Context())
	p.cancel = cancel
	o := w.options
	o.Store = p
	o.Trace = &client.Trace{Connecting: func(client.Attempt) {
		if p.dialled.Add(1) > 5000 {
			panic("reconnects for ever without a delay")
		}
	}}
	var err error
	if p.sub, err = client.Subscribe(ctx, w.feed, &o); err != nil {
		var ce *client.CheckpointError
		if cancel(); !errors.As(err, &ce) {
			w.t.Errorf("Subscribe: %v", err)
		}
		return nil
	}
	r := w.stored()
	p.fresh, p.anew = r.Epoch == 1, p.anew && r.Token == ""
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
	zombie
)

// end ends the process. A zombie is left to be ended later.
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
	}
	low := p.low()
	start := time.Now()
	err := p.sub.Close()
	if d := time.Since(start); d > time.Second {
		p.t.Errorf("Close took %v", d)
	}
	if r := p.stored(); err == nil && r.Token != "" && p.place[r.Token] < low {
		p.t.Errorf("Close returned nil and %q is stored; acknowledged is everything up to event %d", r.Token, low)
	}
	p.cancel()
	close(p.stopped)
	p.consumers.Wait()
	p.helpers.Wait()
}

// meddle reconnects now and then, and looks.
func (p *process) meddle(rng *rand.Rand) {
	for {
		select {
		case <-p.stopped:
			return
		case <-time.After(time.Duration(rng.IntN(60_000)) * time.Millisecond):
		}
		s := p.sub.Stats()
		if s.Buffered > p.options.Buffer || s.Acked > s.Received {
			p.t.Errorf("stats: %+v with a buffer of %d", s, p.options.Buffer)
		}
		// At the end only a stall needs it: an event that waits for space without a token
		// would be lost, and none comes behind it to carry the Gap.
		if !p.calm.Load() || s.Buffered == 0 {
			p.sub.Reconnect()
		}
	}
}

// low is where the position must be at least, as far as the consumer told the process.
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

// take notes that ev was handed out.
func (p *process) take(ev client.Event) *copied {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := number(ev)
	if ev.Gap != nil {
		p.gap[i] = true
	}
	if p.id[i] != "" && ev.Token != p.id[i] {
		p.t.Errorf("event %d has token %q", i, ev.Token)
	}
	if ev.Attempt > 1 {
		for _, c := range p.copies {
			if c.event == i && !c.acked {
				return c
			}
		}
		p.t.Errorf("event %d came again, in attempt %d, after its Ack", i, ev.Attempt)
	}
	if p.fresh {
		p.first = min(p.first, i-1)
	}
	if p.one {
		p.checkOrder(i, ev.Gap)
	}
	c := &copied{event: i, place: p.place[ev.Token]}
	p.last = *c
	p.copies = append(p.copies, c)
	return c
}

// checkOrder checks that event i may follow on p.last: it is the next one, the next one
// behind the token of the last one, or its Gap accounts for the rest.
func (p *process) checkOrder(i int, gap *client.Gap) {
	begins := len(p.copies) == 0
	switch {
	case gap != nil, begins && p.fresh:
	case begins && p.anew:
		p.t.Errorf("event %d is the first one after a restart without a position, and has no Gap", i)
	case i != p.next(p.last.event) && i != p.next(p.last.place):
		p.t.Errorf("event %d came after %d", i, p.last.event)
	}
}

// next is the event behind i that is not skipped.
func (p *process) next(i int) int {
	for i++; p.skipped(i); i++ {
	}
	return i
}

// work notes that the event's work is done: from now on the position may pass it.
func (p *process) work(c *copied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[c.event] = true
}

func (p *process) ack(ev client.Event, c *copied) {
	p.work(c)
	if ev.Ack() == nil {
		p.mu.Lock()
		c.acked = true
		p.mu.Unlock()
	}
}

var errBusy = errors.New("busy")

// consume takes events in one way after the other until there are no more.
func (p *process) consume(rng *rand.Rand) {
	for over := false; !over; {
		switch rng.IntN(3) {
		case 0:
			over = p.loop(rng)
		case 1:
			over = p.batches(rng)
		case 2:
			over = p.nexts(rng)
		}
	}
}

func (p *process) loop(rng *rand.Rand) (over bool) {
	for ev, err := range p.sub.Events() {
		if err != nil {
			return true
		}
		c := p.take(ev)
		p.think(rng)
		switch rng.IntN(12) {
		case 0:
			return false // which does not acknowledge
		case 1:
			ev.Nack(errBusy) // which the end of the body does not undo
			continue
		case 2, 3:
			p.ack(ev, c)
		case 4:
			p.ack(ev, c)
			return false
		}
		p.work(c)
	}
	return true
}

func (p *process) batches(rng *rand.Rand) (over bool) {
	for batch, err := range p.sub.Batches(rng.IntN(5), time.Duration(rng.IntN(2000))*time.Millisecond) {
		if err != nil {
			return true
		}
		var copies []*copied
		for _, ev := range batch {
			copies = append(copies, p.take(ev))
		}
		p.think(rng)
		if rng.IntN(4) == 0 {
			p.ack(batch[0], copies[0])
			return false // which acknowledges none of the others
		}
		for i, ev := range batch {
			if rng.IntN(10) == 0 {
				ev.Nack(errBusy)
			} else {
				p.work(copies[i])
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
		copies = append(copies, p.take(ev))
	}
	p.think(rng)
	for _, i := range rng.Perm(len(events)) {
		if rng.IntN(6) == 0 {
			events[i].Nack(errBusy)
			over = false // there is one more
		} else {
			p.ack(events[i], copies[i])
		}
	}
	return over
}

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
		p.t.Errorf("Commit returned nil and %q is stored; acknowledged is everything up to event %d", r.Token, low)
	}
}

var errStore = errors.New("the store is ill")

// fault decides what happens to a call.
func (p *process) fault() int {
	if p.calm.Load() {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults.IntN(20)
}

// Load is the client.Store's.
func (p *process) Load(ctx context.Context, key string) ([]byte, string, error) {
	if p.killed.Load() {
		return nil, "", errStore
	}
	switch p.fault() {
	case 0, 1:
		return nil, "", errStore
	case 2, 3:
		p.store.OnLoad(&mock.Fault{Stale: true})
	case 4:
		p.store.OnLoad(&mock.Fault{Delay: 3 * time.Second})
	}
	return p.store.Load(ctx, key)
}

// Save is the client.Store's.
func (p *process) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	p.checkSave(data)
	if p.killed.Load() {
		return "", errStore
	}
	switch p.fault() {
	case 0, 1:
		return "", errStore
	case 2, 3: // it takes effect all the same
		p.store.Save(ctx, key, data, prev)
		return "", errStore
	case 4, 5: // it takes effect when the caller has given up
		time.AfterFunc(time.Duration(len(data))*7*time.Millisecond, func() {
			p.store.Save(context.Background(), key, data, prev)
		})
		return "", errStore
	case 6:
		p.store.OnSave(&mock.Fault{Delay: 3 * time.Second})
	case 7:
		p.store.OnSave(&mock.Fault{Delay: time.Hour})
	}
	return p.store.Save(ctx, key, data, prev)
}

// checkSave looks for an event that the position would pass although it is in hand, or
// still to be handed out.
func (p *process) checkSave(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var r stored
	if err := json.Unmarshal(data, &r); err != nil {
		p.t.Errorf("saves what is no record: %v", err)
	}
	place, known := p.place[r.Token]
	if !known && r.Token != "" {
		p.t.Errorf("saves token %q, which nobody sent", r.Token)
	}
	last := min(p.next(place), p.total()) // it may have the same token
	from := 1
	if p.fresh {
		from += p.first
	}
	for i := from; i <= place; i++ {
		if !p.done[i] && !p.excused(i, last) {
			p.t.Errorf("saves token %q, but event %d is not acknowledged", r.Token, i)
		}
	}
}
