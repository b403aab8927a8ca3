package channel_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport/channel"
)

var (
	exploreRuns = flag.Int("explore.runs", 60, "schedules of TestExplore")
	exploreSeed = flag.Uint64("explore.seed", 1, "first seed of TestExplore")
)

// TestExplore runs random schedules over one socket with several channels: handshakes that fail, connections that
// break, channels that are refused, not acknowledged, ended by the server, removed and added again, and
// whose position is rejected; events before the acknowledgement and for removed channels; slow
// consumers; processes that are stopped and killed, and a store with faults. After each schedule, these
// promises must hold for each channel:
//
//   - every event was handled or precedes one that carries a Gap;
//   - a subscription gets no event twice and none out of order;
//   - no goroutine is left, and no server is asked in a loop.
func TestExplore(t *testing.T) {
	var saw sync.Map // faults that were played
	explore.Run(t, explore.Options{
		Bubble: func(f func()) { synctest.Test(t, func(*testing.T) { f() }) },
		Script: []mock.Step{}, Runs: *exploreRuns, Seed: *exploreSeed,
	}, func(trial *explore.Trial) {
		w := newWorld(trial, &saw)
		srv := mock.NewServer(w)
		w.run(srv)
		if err := srv.Close(); err != nil {
			trial.Errorf("%v", err)
		}
		w.check()
	})
	if *exploreRuns < 40 {
		return
	}
	for _, fault := range []string{
		"handshake", "drop", "refused", "mute", "early", "ended", "rejected", "unrouted", "in flight", "not ended", "removed", "overflow", "gap", "partly",
	} {
		if _, ok := saw.Load(fault); !ok {
			t.Errorf("no schedule had the fault %q", fault)
		}
	}
}

const worldCalm = 4 * time.Minute // after which there are no faults, and the last events are sent

// A world is a server with channels, and what is known of their events.
type world struct {
	trial    *explore.Trial
	saw      *sync.Map
	start    time.Time
	every    time.Duration // between two events of a channel
	batch    int
	buffer   int
	asked    atomic.Int64
	channels []*feed

	mu   sync.Mutex
	dice *rand.Rand
}

// A feed is one channel. Its events have the numbers 1 to last.
type feed struct {
	world *world
	name  string
	live  bool // without positions
	last  int

	mu      sync.Mutex
	first   int          // the first event that was received
	highest int          // the last one that was handled
	done    map[int]bool // handled
	gaps    map[int]bool // received with a Gap
}

func newWorld(trial *explore.Trial, saw *sync.Map) *world {
	w := &world{
		trial: trial, saw: saw, start: time.Now(), dice: rand.New(rand.NewPCG(trial.Rand.Uint64(), 0)),
		every: time.Duration(200+trial.Rand.IntN(5000)) * time.Millisecond,
		batch: 1 + trial.Rand.IntN(4), buffer: 1 + trial.Rand.IntN(8),
	}
	for i := range 2 + trial.Rand.IntN(4) {
		w.channels = append(w.channels, &feed{
			world: w, name: fmt.Sprint("c", i), live: i%3 == 2, last: int(worldCalm/w.every) + 1,
			done: make(map[int]bool), gaps: make(map[int]bool),
		})
	}
	return w
}

func (w *world) isCalm() bool { return time.Since(w.start) >= worldCalm }

// chance reports whether one of n cases happens, and records the fault. There is none once it is calm.
func (w *world) chance(n int, fault string) bool {
	if w.isCalm() {
		return false
	}
	w.mu.Lock()
	hit := w.dice.IntN(n) == 0
	w.mu.Unlock()
	if hit {
		w.saw.Store(fault, true)
	}
	return hit
}

func (w *world) upTo(most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.dice.Int64N(int64(most)))
}

func (w *world) run(srv *mock.Server) {
	for ctx := range w.trial.Processes() {
		mux := newMux(srv)
		mux.Batch, mux.Buffer = w.batch, w.buffer
		var group sync.WaitGroup
		for _, f := range w.channels {
			group.Go(func() { f.follow(ctx, mux) })
		}
		group.Wait()
		if s := mux.Stats(); s.Overflows > 0 {
			w.saw.Store("overflow", true)
		}
		if !slices.ContainsFunc(w.channels, func(f *feed) bool { return !f.isComplete() }) {
			return
		}
	}
}

// check looks for an event that was not handled and that no Gap accounts for.
func (w *world) check() {
	for _, f := range w.channels {
		excused := false
		for i := f.last; i > 0; i-- {
			if !f.done[i] && !excused && !(f.live && i < f.first) {
				w.trial.Errorf("%s: event %d of %d is lost", f.name, i, f.last)
			}
			excused = excused || f.gaps[i]
		}
	}
	if n := w.asked.Load(); n > 500 {
		w.trial.Errorf("got %d handshakes, want at most 500", n)
	}
}

func (f *feed) isComplete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done[f.last]
}

// follow subscribes until the last event is handled or the process ends.
func (f *feed) follow(ctx context.Context, mux *channel.Mux) {
	for ctx.Err() == nil && !f.isComplete() {
		sub, err := client.Subscribe(ctx, mux.Channel(f.name), &client.Options{
			Name: f.name, Store: f.world.trial.Store, Buffer: f.world.buffer, CommitEvery: time.Millisecond,
		})
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		f.consume(ctx, sub)
		sub.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d + 1)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (f *feed) consume(ctx context.Context, sub *client.Subscription) {
	last := 0
	for ev, err := range sub.Events() {
		if err != nil {
			return
		}
		i, _ := strconv.Atoi(string(ev.Data))
		f.mu.Lock()
		if i <= last {
			f.world.trial.Errorf("%s: got event %d after %d", f.name, i, last)
		}
		if f.first == 0 {
			f.first = i
		}
		known := max(last, f.highest)
		if i > known+1 && ev.Gap == nil && !(f.live && i == f.first) {
			f.world.trial.Errorf("%s: got event %d after %d without a Gap", f.name, i, known)
		}
		if ev.Gap != nil {
			f.world.saw.Store("gap", true)
			f.gaps[i] = true
		}
		last = i
		f.mu.Unlock()
		if f.world.chance(20, "slow") {
			pause(ctx, f.world.upTo(20*time.Second))
		}
		if ev.Ack() == nil {
			f.mu.Lock()
			f.done[i], f.highest = true, max(f.highest, i)
			f.mu.Unlock()
		}
		if f.isComplete() || f.world.chance(40, "removed") {
			return
		}
	}
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	if w.chance(6, "handshake") {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	ws, err := websocket.Accept(rw, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	p := &peer{ctx: r.Context(), ws: ws}
	plays := make(map[string]func() bool) // stops the play of a channel, and reports whether it was still sent
	var group sync.WaitGroup
	for a := p.read(); a.Op != ""; a = p.read() {
		for _, name := range a.Names {
			stop := plays[name]
			if stop == nil {
				continue
			}
			playing := stop()
			delete(plays, name)
			if f := w.find(name); a.Op == "unsub" && playing && f.now() > 0 && w.chance(2, "in flight") {
				p.say(f.event(f.now()))
			}
		}
		if a.Op == "unsub" {
			if !w.chance(5, "not ended") {
				p.say(word{Re: a.ID})
			}
			continue
		}
		switch {
		case w.chance(8, "refused"):
			if len(a.Names) > 1 && w.chance(2, "partly") { // and the first is subscribed to
				p.say(w.find(a.Names[0]).event(w.find(a.Names[0]).now() + 1))
			}
			p.say(word{Re: a.ID, Error: errBusy.text})
			continue
		case w.chance(12, "mute"):
			continue
		case len(a.Names) == 1 && a.After[0] != "" && w.chance(12, "rejected"):
			p.say(word{Re: a.ID, Error: errGone.text})
			continue
		}
		early := time.Since(w.start) < worldCalm-20*time.Second && w.chance(5, "early") // no event may follow to carry the Gap
		if !early {
			p.say(word{Re: a.ID})
		}
		for i, name := range a.Names {
			ctx, cancel := context.WithCancel(p.ctx)
			ended := make(chan bool, 1)
			after, _ := strconv.Atoi(a.After[i])
			group.Go(func() { ended <- w.find(name).play(ctx, p, after) })
			plays[name] = func() bool { cancel(); return <-ended }
		}
		if early {
			time.Sleep(w.upTo(3 * time.Second))
			p.say(word{Re: a.ID})
		}
	}
	ws.CloseNow()
	for _, stop := range plays {
		stop()
	}
	group.Wait()
}

func (w *world) find(name string) *feed {
	return w.channels[slices.IndexFunc(w.channels, func(f *feed) bool { return f.name == name })]
}

// now returns the last event that has happened.
func (f *feed) now() int {
	return min(int(time.Since(f.world.start)/f.world.every), f.last)
}

func (f *feed) event(n int) word {
	e := event(f.name, n)
	if f.live {
		e.N = ""
	}
	return e
}

// play sends events until ctx or the connection ends. It returns false if it has ended the channel.
func (f *feed) play(ctx context.Context, p *peer, after int) bool {
	if f.live || after == 0 && f.now() > 0 && f.received() {
		after = min(f.now(), f.last-1) // without a position, a server starts where it is
	}
	for i := after + 1; ; i++ {
		for f.now() < i {
			if pause(ctx, f.world.every); i > f.last {
				i = f.last + 1
			}
			if ctx.Err() != nil {
				return true
			}
		}
		text, _ := json.Marshal(f.event(i))
		if p.ws.Write(ctx, websocket.MessageText, text) != nil || ctx.Err() != nil {
			return true
		}
		switch {
		case f.world.chance(150, "drop"):
			p.ws.CloseNow()
			return true
		case f.world.chance(100, "ended"):
			p.say(word{End: f.name, Error: errBusy.text})
			return false
		case f.world.chance(100, "unrouted"):
			p.say(event("unknown", i), word{End: "unknown"}, word{Ack: f.name})
		}
	}
}

func (f *feed) received() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first > 0
}

// errGone is a position that the server does not know any more.
var errGone = &gone{refusal{"position gone", 0}}

type gone struct{ refusal }

func (*gone) RejectsToken() bool { return true }
