package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// TestExploreSeek sets the position of a subscription, from two goroutines, while it works and is
// restarted, and while calls of the store fail, take effect late, report the wrong outcome or return
// old records. After each schedule, these promises must hold:
//
//   - each owner and each set has an epoch of its own, and epochs never decrease;
//   - a position changes only by acknowledgements, in order, and by sets;
//   - a set that returned nil has replaced what it returned, and one that returned a conflict
//     has replaced nothing;
//   - a running subscription is fenced within 30 s, and the next one starts after the position.
func TestExploreSeek(t *testing.T) {
	for name, wire := range everyWire {
		t.Run(name, func(t *testing.T) {
			for seed := *exploreSeed; seed < *exploreSeed+uint64(max(1, *exploreRuns/4)) && !t.Failed(); seed++ {
				synctest.Test(t, func(t *testing.T) {
					feed := mock.NewFeed(series(1, seekEvents)...)
					src, stop, token := wire(feed)
					defer stop()
					exploreSeek(t, rand.New(rand.NewPCG(seed, 0)), src, token)
				})
				if t.Failed() {
					t.Logf("repeat with -explore.seed=%d -explore.runs=1", seed)
				}
			}
		})
	}
}

const seekEvents = 40

func exploreSeek(t *testing.T, rng *rand.Rand, src transport.Transport, token func(client.Event) string) {
	w := &seekWorld{t: t, rng: rng, src: src, token: token, store: new(mock.Store)}
	drained := subscribe(t, src, nil) // from now on, the feed resumes after every id
	data(t, drained, seekEvents)
	drained.Close()

	ctx, stop := context.WithCancel(t.Context())
	var worker, operators sync.WaitGroup
	worker.Go(func() { w.work(ctx) })
	for range 2 {
		operators.Go(func() {
			for range 1 + w.intN(3) {
				time.Sleep(time.Duration(w.intN(20_000)) * time.Millisecond)
				w.set()
			}
		})
	}
	operators.Wait()
	w.calm.Store(true)
	time.Sleep(2 * time.Minute)
	w.set()
	start := time.Now()
	for before := w.starts.Load(); w.starts.Load() == before && time.Since(start) < time.Minute; {
		time.Sleep(100 * time.Millisecond)
	}
	if d := time.Since(start); d > 32*time.Second {
		t.Errorf("the subscription was fenced and started again after %v, want 32s at most", d)
	}
	time.Sleep(2 * time.Minute)
	stop()
	worker.Wait()
	w.check()
}

// A seekWorld is a store with faults, a feed and what was set.
type seekWorld struct {
	t      *testing.T
	src    transport.Transport
	token  func(client.Event) string
	store  *mock.Store
	calm   atomic.Bool // the store has no faults
	starts atomic.Int64

	mu   sync.Mutex
	rng  *rand.Rand
	sets []seekCall
}

type seekCall struct {
	token string
	old   client.Checkpoint
	err   error
}

func (w *seekWorld) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// work subscribes again each time that the subscription ends.
func (w *seekWorld) work(ctx context.Context) {
	o := &client.Options{Name: "n", Store: w, TokenOf: w.token, StartAfter: "1", CommitEvery: 100 * time.Millisecond}
	for ctx.Err() == nil {
		sub, err := client.Subscribe(ctx, w.src, o)
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		last := 0
		for ev, err := range sub.Events() {
			if err != nil {
				break
			}
			n := place(ev.ID)
			if last == 0 {
				w.starts.Add(1)
			} else if n != last+1 {
				w.t.Errorf("got event %d after %d, want the next one", n, last)
			}
			last = n
			time.Sleep(time.Duration(w.intN(500)) * time.Millisecond)
		}
		sub.Close()
		time.Sleep(time.Second)
	}
}

// set sets the position to a place before the last event, or resets it.
func (w *seekWorld) set() {
	c := seekCall{token: strconv.Itoa(w.intN(seekEvents - 1))}
	if c.token == "0" {
		c.token = ""
	}
	o := new(client.SetOptions)
	if w.intN(2) == 0 {
		if seen, err := client.ReadCheckpoint(w.t.Context(), w, "n"); err == nil {
			o.Epoch = seen.Epoch
			time.Sleep(time.Duration(w.intN(500)) * time.Millisecond)
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	c.old, c.err = client.SetCheckpoint(ctx, w, "n", c.token, o)
	if w.calm.Load() && c.err != nil {
		w.t.Errorf("a set while the store has no faults: %v", c.err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sets = append(w.sets, c)
}

// Load is the method of client.Store.
func (w *seekWorld) Load(ctx context.Context, key string) ([]byte, string, error) {
	if !w.calm.Load() {
		switch w.intN(10) {
		case 0:
			return nil, "", errStore
		case 1:
			w.store.OnLoad(&mock.Fault{Stale: true})
		case 2:
			w.store.OnLoad(&mock.Fault{Delay: 200 * time.Millisecond})
		}
	}
	return w.store.Load(ctx, key)
}

// Save is the method of client.Store.
func (w *seekWorld) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if !w.calm.Load() {
		switch w.intN(8) {
		case 0:
			return "", errStore
		case 1: // it takes effect but fails
			w.store.Save(ctx, key, data, prev)
			return "", errStore
		case 2: // it takes effect after the caller has given up
			time.AfterFunc(time.Duration(1+w.intN(2000))*time.Millisecond, func() {
				w.store.Save(context.Background(), key, data, prev)
			})
			return "", errStore
		case 3:
			w.store.OnSave(&mock.Fault{Delay: 300 * time.Millisecond})
		}
	}
	return w.store.Save(ctx, key, data, prev)
}

// check compares what was stored with what was set.
func (w *seekWorld) check() {
	var was stored
	first := map[uint64][2]stored{} // by epoch: its first record and the one before
	for _, raw := range w.store.History("n") {
		var r stored
		if err := json.Unmarshal(raw, &r); err != nil {
			w.t.Fatal(err)
		}
		switch {
		case r.Epoch > was.Epoch && r.Owner != was.Owner:
			first[r.Epoch] = [2]stored{r, was}
			if r.Token != was.Token && !w.wasSet(r, was) {
				w.t.Errorf("epoch %d begins with token %q after %q, and nothing has set it", r.Epoch, r.Token, was.Token)
			}
		case r.Epoch != was.Epoch || r.Owner != was.Owner:
			w.t.Errorf("stored %+v after %+v, want a new owner with a higher epoch", r, was)
		case place(r.Token) < place(was.Token) || r.Events < was.Events:
			w.t.Errorf("stored %+v after %+v: the position has moved back", r, was)
		}
		was = r
	}
	for _, c := range w.sets {
		f := first[c.old.Epoch+1]
		if c.err == nil && (f[0].Token != c.token || f[1].Token != c.old.Token || f[1].Events != c.old.Events) {
			w.t.Errorf("set %+v returned no error, but epoch %d began with %+v after %+v", c, c.old.Epoch+1, f[0], f[1])
		}
	}
	if was.Token != strconv.Itoa(seekEvents) {
		w.t.Errorf("at the end: got %+v, want the last event", was)
	}
}

// wasSet reports whether a set may have replaced the record was by r.
func (w *seekWorld) wasSet(r, was stored) bool {
	for _, c := range w.sets {
		if c.token == r.Token && !errors.Is(c.err, client.ErrConflict) {
			return true
		}
	}
	return was.Epoch == 0
}

func place(token string) int {
	n, _ := strconv.Atoi(token)
	return n
}
