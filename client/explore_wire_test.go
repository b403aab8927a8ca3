package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	scripts "github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// everyWire has functions that play a feed whose data is {"id":"1"} and so on, over each kind of wire. stop
// ends its server, and token is the Options.TokenOf.
var everyWire = map[string]func(*mock.Feed) (src transport.Transport, stop func(), token func(client.Event) string){
	"none": func(feed *mock.Feed) (src transport.Transport, stop func(), token func(client.Event) string) {
		return feed, func() {}, nil
	},
	"SSE": func(feed *mock.Feed) (src transport.Transport, stop func(), token func(client.Event) string) {
		srv := mock.NewServer(feed.Handler(decode.SSE{}))
		return &transport.HTTP{URL: "http://feed.test", Client: srv.Client()}, func() { srv.Close() }, nil
	},
	"WebSocket": func(feed *mock.Feed) (src transport.Transport, stop func(), token func(client.Event) string) {
		srv := mock.NewServer(feed.WebSocket(nil, nil))
		return &transport.WebSocket{
			URL: "ws://feed.test", Client: srv.Client(), End: transport.EndFeed, IdleTimeout: time.Minute,
			Resume: transport.ResumeQuery("since"), OnMessage: setID,
		}, func() { srv.Close() }, client.Field("id")
	},
}

// setID sets the id of an event. A withdrawn position is no event on a wire without positions.
func setID(_ *transport.Socket, m *transport.Message) error {
	if m.ID = decode.Field(m.Data, "id"); m.ID == "" {
		m.Kind = decode.KindKeepalive
	}
	return nil
}

// exploreEveryWire explores a scenario over each wire, with an eighth of the schedules of TestExplore.
func exploreEveryWire(t *testing.T, o scripts.Options, scenario func(trial *scripts.Trial, src transport.Transport, token func(client.Event) string)) {
	for name, wire := range everyWire {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Runs, o.Seed, o.Stalls = max(1, *exploreRuns/8), *exploreSeed, name != "none"
			o.Bubble = func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
			scripts.Run(t, o, func(trial *scripts.Trial) {
				src, stop, token := wire(trial.Feed)
				defer stop()
				scenario(trial, src, token)
			})
		})
	}
}

const wireEvents = 20 // of the default script

// A shop is what is known of the events of a trial, and of the workers that handle them: one after
// another, each of them a process.
type shop struct {
	*scripts.Trial
	options client.Options
	buries  bool // refused events are dead-lettered
	mark    int  // the last event of the initial state; 0: not marked

	mu       sync.Mutex
	first    int                  // the first event that the first worker has received
	done     [wireEvents + 1]bool // handled, buried, or before a Gap
	refusals int                  // that are left
	crashes  int                  // that are left
}

func newShop(trial *scripts.Trial, token func(client.Event) string) *shop {
	s := &shop{Trial: trial, buries: trial.Rand.IntN(3) > 0, first: wireEvents + 1, refusals: 40, crashes: 3}
	s.options = client.Options{
		Name: "n", TokenOf: token, Dedupe: 100, Buffer: 2 + trial.Rand.IntN(6), MaxAttempts: trial.Rand.IntN(4),
		CommitEvery: time.Duration(1+trial.Rand.IntN(2000)) * time.Millisecond,
	}
	return s
}

// dice returns a random generator for one goroutine.
func (s *shop) dice() *rand.Rand { return rand.New(rand.NewPCG(s.Rand.Uint64(), 0)) }

// run runs workers until the feed is complete.
func (s *shop) run(src transport.Transport, consumers int, consume func(*worker, *rand.Rand)) {
	for ctx := range s.Processes() {
		p := s.begin(ctx, src)
		if p == nil {
			continue
		}
		var joined sync.WaitGroup
		for range consumers {
			rng := s.dice()
			joined.Go(func() { consume(p, rng) })
		}
		joined.Wait()
		p.sub.Close()
		if p.over.Load() && !p.crashed.Load() && !p.refused && !p.cut {
			break
		}
	}
	s.checkDone(wireEvents, "at the end")
}

// checkDone checks that the events up to last are handled, buried or before a Gap.
func (s *shop) checkDone(last int, when string) {
	if left := s.left(last); len(left) > 0 {
		s.Errorf("events %v are neither handled nor buried %s", left, when)
	}
}

// left returns the events up to last that are not done.
func (s *shop) left(last int) (left []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.first; i <= last; i++ {
		if !s.done[i] {
			left = append(left, i)
		}
	}
	return left
}

// A worker is a process, and its own connection to the store, so that a crash cuts it off.
type worker struct {
	*shop
	sub      *client.Subscription
	fresh    bool // no event was received before
	crashed  atomic.Bool
	over     atomic.Bool // the feed is complete
	complete atomic.Bool // without an error
	refused  bool        // it has ended with a RefusedError; guarded by mu
	cut      bool        // a consumer was ended before the feed was complete, perhaps with an event; guarded by mu

	copies map[int]*copyOf // the events that it has received; guarded by mu
	acked  atomic.Uint64   // events that are handled
	caught int             // the event with CaughtUp
}

// A copyOf is an event as a worker has received it.
type copyOf struct {
	attempt int
	due     time.Time // of the next attempt; zero unless it was refused
	final   bool      // it was refused permanently
	buried  bool
}

// begin returns nil if Subscribe fails because of the store.
func (s *shop) begin(ctx context.Context, src transport.Transport) *worker {
	p := &worker{shop: s, fresh: s.first > wireEvents, copies: make(map[int]*copyOf)}
	o := s.options
	o.Store = p
	if s.buries {
		rng := s.dice()
		o.DeadLetter = func(_ context.Context, ev client.Event, _ error) error { return p.bury(rng, ev) }
	}
	var err error
	if p.sub, err = client.Subscribe(ctx, src, &o); err != nil {
		return nil
	}
	return p
}

// Load is the method of client.Store.
func (p *worker) Load(ctx context.Context, key string) ([]byte, string, error) {
	if p.crashed.Load() {
		return nil, "", errStore
	}
	return p.Store.Load(ctx, key)
}

// Save is the method of client.Store. It checks that the position passes no event that is not settled.
func (p *worker) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if p.crashed.Load() {
		return "", errStore
	}
	var r stored
	if err := json.Unmarshal(data, &r); err != nil {
		p.Errorf("saved an invalid record: %v", err)
	}
	p.checkDone(place(r.Token), "when the position "+r.Token+" is saved")
	return p.Store.Save(ctx, key, data, prev)
}

// crash ends the process in the midst of its work, unless it must not: without a position, its
// successor would lose events.
func (p *worker) crash() bool {
	p.mu.Lock()
	crashes := p.crashes > 0 && p.sub.Stats().Checkpointed > 0
	if crashes {
		p.crashes--
	}
	p.mu.Unlock()
	if crashes {
		p.crashed.Store(true)
		p.sub.Close()
	}
	return crashes
}

func eventNumber(ev client.Event) int { return place(client.Field("id")(ev)) }

// deliver records that ev was delivered, and returns its number: 0 for a position that a wire of JSON
// delivers as an event.
func (p *worker) deliver(ev client.Event) (n int) {
	if n = eventNumber(ev); n == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.copies[n]
	if c == nil {
		c = new(copyOf)
		p.copies[n] = c
	}
	switch {
	case c.final:
		p.Errorf("event %d is delivered after it was refused permanently", n)
	case c.attempt > 0 && c.due.IsZero():
		p.Errorf("event %d is delivered again, and was not refused", n)
	case ev.Attempt != c.attempt+1 || time.Now().Before(c.due):
		p.Errorf("event %d: got attempt %d, due at %v, after attempt %d", n, ev.Attempt, c.due, c.attempt)
	}
	c.attempt, c.due = ev.Attempt, time.Time{}
	if p.fresh {
		p.first = min(p.first, n)
	}
	if ev.Gap != nil {
		p.excuse(n)
	}
	if p.mark > 0 && ev.CaughtUp {
		p.checkCaughtUp(n)
	}
	return n
}

// excuse records that a Gap accounts for the events before n. The caller holds mu.
func (p *worker) excuse(n int) {
	for i := range n {
		if p.copies[i] == nil {
			p.done[i] = true
		}
	}
}

// finish records that an event is handled.
func (p *worker) finish(n int) {
	p.acked.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[n] = true
}

// refuse returns an error with which to refuse an event, and records that, or returns nil if there
// were enough refusals. A plain one has no delay of its own and is not terminal.
func (p *worker) refuse(rng *rand.Rand, ev client.Event, n int, plain bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n == 0 || p.refusals == 0 {
		return nil
	}
	p.refusals--
	c := p.copies[n]
	err, delay := errBusy, min(time.Second<<(ev.Attempt-1), time.Minute)
	final := p.options.MaxAttempts > 0 && ev.Attempt >= p.options.MaxAttempts
	if !plain {
		switch rng.IntN(5) {
		case 0, 1:
			delay = time.Duration(rng.IntN(90_000)) * time.Millisecond
			err = client.RetryAfter(delay, errBusy)
		case 2:
			err, final = client.Terminal(errBusy), true
		}
	}
	c.final, c.due = final, time.Now().Add(delay)
	return err
}

// bury is a DeadLetter that fails now and then. rng is for it alone.
func (p *worker) bury(rng *rand.Rand, ev client.Event) error {
	time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := eventNumber(ev)
	c := p.copies[n]
	if c == nil { // a suspect
		c = &copyOf{final: true}
		p.copies[n] = c
	}
	if !c.final || c.buried {
		p.Errorf("event %d is buried, although it was not refused permanently or is buried (%t)", n, c.buried)
	}
	if rng.IntN(3) == 0 {
		return errStore
	}
	c.buried, p.done[n] = true, true
	return nil
}

// ended records why the feed has ended.
func (p *worker) ended(err error) {
	if p.crashed.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var refused *client.RefusedError
	var gap *client.Gap
	switch {
	case err == nil:
		p.over.Store(true)
		p.complete.Store(true)
		if p.completeUnseen() {
			p.excuse(wireEvents + 1)
		}
	case errors.As(err, &refused):
		p.refused = true
		n := eventNumber(refused.Event)
		if c := p.copies[n]; p.buries || c == nil || !c.final {
			p.Errorf("got %v, although event %d was not refused permanently, or is dead-lettered", err, n)
		}
	case errors.As(err, &gap):
		p.excuse(wireEvents + 1)
		p.over.Store(true)
	default:
		p.cut = true
	}
}

// completeUnseen reports whether the feed was complete before it was connected again, without a position
// and after a clean end. By contract that is no loss: it is how a server stops an EventSource.
func (p *worker) completeUnseen() bool {
	attempts := p.Feed.Attempts()
	n := len(attempts)
	return n > 1 && attempts[n-1].Token == "" && errors.Is(attempts[n-1].Err, transport.ErrComplete) &&
		attempts[n-1].At.Equal(attempts[n-1].Ended) && attempts[n-2].Err == io.EOF
}

// loop handles events, refuses some and crashes now and then.
func (p *worker) loop(rng *rand.Rand) {
	for ev, err := range p.sub.Events() {
		if err != nil {
			p.ended(err)
			return
		}
		n := p.deliver(ev)
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		if rng.IntN(20) == 0 && p.crash() {
			return
		}
		if rng.IntN(3) == 0 {
			if err := p.refuse(rng, ev, n, false); err != nil {
				ev.Nack(err)
				continue
			}
		}
		p.finish(n) // the end of the body acknowledges it
	}
	p.ended(nil)
}
