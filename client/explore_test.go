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
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
)

var (
	exploreSeed = flag.Uint64("explore.seed", 1, "first seed of TestExplore")
	exploreRuns = flag.Int("explore.runs", 80, "schedules of TestExplore; a quarter as many of TestExploreWebhook and TestExplorePoll")
)

// TestExplore runs random schedules: a feed that breaks in every way; processes that end
// gracefully, are drained or killed, or continue next to their successor; a store whose calls fail, take effect
// late or report the wrong outcome; and consumers that acknowledge out of order, refuse for a while or
// permanently, and leave.
// After each schedule, these promises must hold:
//
//   - every event was handled or precedes one that carries a Gap, and there is a Gap only where a
//     position was missing, rejected or withdrawn;
//   - each process starts after the stored position and continues without a hole;
//   - the stored position never moves back and never passes an unsettled event;
//   - what Commit, Drain and Close report as saved is saved; at rest, everything is; and Close returns
//     within a second.
//
// A seed fixes the schedule but not how goroutines interleave. Repeat a seed that failed with
// go test ./client -run TestExplore -explore.seed=N -explore.runs=1 -count=200.
func TestExplore(t *testing.T) {
	for seed := *exploreSeed; seed < *exploreSeed+uint64(*exploreRuns) && !t.Failed(); seed++ {
		explore(t, seed, false)
	}
}

func explore(t *testing.T, seed uint64, fills bool) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("a goroutine is left or every goroutine waits: %v", p)
		}
		if t.Failed() {
			t.Logf("repeat with -explore.seed=%d -explore.runs=1", seed)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t, rng, fills)
		for range 1 + rng.IntN(4) {
			if p := w.begin(); p != nil {
				w.sleep(time.Minute)
				p.end(rng.IntN(5))
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

// world is the setting of one schedule, and what is known of each event. Events are numbered from
// 1; the number is their data.
type world struct {
	t       *testing.T
	feed    *mock.Feed
	store   *mock.Store
	lossy   bool        // the feed rejects tokens and withdraws them
	fills   bool        // processes have a Backfill
	calm    atomic.Bool // the store has no faults
	options client.Options
	buries  bool       // refused events are dead-lettered
	zombies []*process // processes that were not ended when their successor started
	untold  bool       // the feed ended with an error that accounts for the rest

	id    []string       // of each event; empty for one that has none
	place map[string]int // the last event before each token

	rng *rand.Rand // only for the goroutine that runs the schedule

	mu   sync.Mutex
	done []bool // skipped, or handled and acknowledged next
	gap  []bool // delivered with a Gap
}

func newWorld(t *testing.T, rng *rand.Rand, fills bool) *world {
	n := 5 + rng.IntN(25)
	w := &world{
		t: t, store: new(mock.Store), lossy: rng.IntN(2) == 0 || fills, fills: fills, rng: rng, place: map[string]int{},
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
	if w.buries = rng.IntN(2) == 0; w.buries {
		w.options.MaxAttempts = rng.IntN(4)
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

// script returns the feed's script: all events but the last, most of them with an id, and faults
// in between.
func (w *world) script() (script []mock.Step) {
	for i := 1; i < w.total(); i++ {
		for w.rng.IntN(3) == 0 {
			script = append(script, w.fault(i-1))
		}
		if w.rng.IntN(4) > 0 {
			w.id[i] = fmt.Sprint("t", i)
			w.place[w.id[i]] = i
		}
		script = append(script, mock.Event(w.id[i], strconv.Itoa(i)))
	}
	return script
}

// fault returns what happens after an event.
func (w *world) fault(after int) mock.Step {
	n := w.rng.IntN(24)
	switch {
	case n == 0 && w.lossy:
		return mock.Status(http.StatusGone)
	case n == 1 && w.lossy:
		return position("")
	}
	switch n {
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
		return mock.Stall()
	case 12:
		return mock.Frame(decode.Frame{Kind: decode.KindRetry, Delay: time.Second})
	case 13, 14:
		return mock.Keepalive()
	case 15, 16:
		token := fmt.Sprint("p", after)
		w.place[token] = after
		return position(token)
	}
	return mock.Pause(time.Duration(w.rng.IntN(5000)) * time.Millisecond)
}

// dice returns a random generator for one goroutine.
func (w *world) dice() *rand.Rand {
	return rand.New(rand.NewPCG(w.rng.Uint64(), 0))
}

func (w *world) sleep(most time.Duration) { time.Sleep(time.Duration(w.rng.Int64N(int64(most)))) }

// stored returns the record in the store.
func (w *world) stored() (r stored) {
	saved := w.store.History("n")
	if len(saved) == 0 {
		return r
	}
	if err := json.Unmarshal(saved[len(saved)-1], &r); err != nil {
		w.t.Errorf("record: %v", err)
	}
	return r
}

// drain runs processes without faults until the feed is complete. The last event is sent now, so
// that it can carry the Gap of a loss at the end.
func (w *world) drain() {
	for n := range 20 {
		p := w.begin()
		if n == 0 {
			w.feed.Publish(mock.Event("", strconv.Itoa(w.total())), mock.Complete())
		}
		if p == nil {
			w.t.Fatal("Subscribe failed although the store has no faults")
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Hour)
		stuck := context.AfterFunc(ctx, func() {
			w.t.Errorf("the subscription does not end: %+v", p.sub.Stats())
			p.sub.Close()
		})
		p.consumers.Wait()
		stuck()
		cancel()
		_, err := p.sub.Next(w.t.Context())
		if refused := (*client.RefusedError)(nil); !errors.As(err, &refused) { // which is never acknowledged
			w.checkRest(p)
		}
		p.end(graceful)
		if err == io.EOF || w.t.Failed() {
			return
		}
		var gap *client.Gap
		if w.untold = errors.As(err, &gap); w.untold {
			return
		}
	}
	w.t.Error("got no end of the feed, want one")
}

// checkRest checks that a process without work has saved every acknowledgement.
func (w *world) checkRest(p *process) {
	if w.options.CommitEvery < 0 {
		return
	}
	time.Sleep(time.Minute)
	if s := p.sub.Stats(); s.Checkpointed != s.Acked || s.CheckpointError != nil || s.ConsecutiveSaveErrors > 0 {
		w.t.Errorf("Stats at rest: got %+v, want every Ack saved and no error", s)
	}
}

// checkEvents looks for an event that was not delivered and that no Gap accounts for.
func (w *world) checkEvents() {
	for i := w.total(); i > 0; i-- {
		if !w.done[i] && !w.untold && !w.excused(i, w.total()) {
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

// checkHistory looks for a record that is older than the one before it.
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
