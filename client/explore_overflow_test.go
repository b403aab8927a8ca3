package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	scripts "github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// Over each wire and under each policy, a consumer is too slow for bursts of events, and is stopped and
// killed: every event is handled, or precedes a Gap, or is older than one of its key that was handled.
// The stored position never passes an event for which that is not so.
func TestExploreOverflow(t *testing.T) {
	for _, policy := range []client.Overflow{client.OverflowBlock, client.OverflowDropOldest, client.OverflowDropNewest, client.OverflowLatest, client.OverflowStop} {
		for name, wire := range everyWire {
			t.Run(fmt.Sprintf("%s/%s", policy, name), func(t *testing.T) {
				dropped := uint64(0)
				o := scripts.Options{Runs: max(1, *exploreRuns/4), Faults: 12, Stalls: name != "none", Script: bursts()}
				o.Bubble = func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
				scripts.Run(t, o, func(trial *scripts.Trial) {
					src, stop, token := wire(trial.Feed)
					defer stop()
					b := &board{trial: trial, policy: policy}
					for ctx := range trial.Processes() {
						b.checkStored()
						b.dropped = [burstEvents + 1]bool{}
						o := &client.Options{Name: "n", Store: trial.Store, TokenOf: token, Overflow: policy,
							Buffer: 1 + trial.Rand.IntN(6), Dedupe: 100 * trial.Rand.IntN(2), MaxAttempts: 3,
							BufferBytes: []int{0, 25}[trial.Rand.IntN(2)], CommitEvery: 100 * time.Millisecond,
							DeadLetter: func(_ context.Context, ev client.Event, _ error) error { b.handle(ev); return nil },
						}
						o.Trace = &client.Trace{Dropped: b.drop}
						if policy == client.OverflowLatest {
							o.KeyOf = keyOfID
							o.Buffer += 5 // keys
						}
						sub, err := client.Subscribe(ctx, src, o)
						if err != nil {
							continue
						}
						done := b.consume(sub)
						if s := sub.Stats(); s.Buffered > o.Buffer {
							trial.Errorf("got %d events in the buffer, want at most %d", s.Buffered, o.Buffer)
						}
						dropped += sub.Stats().Dropped
						sub.Close()
						if b.checkStored(); done {
							break
						}
					}
					b.check()
				})
				if drops := policy != client.OverflowBlock && policy != client.OverflowStop; drops != (dropped > 0) {
					t.Errorf("got %d events dropped in %d runs, want drops: %t", dropped, o.Runs, drops)
				}
			})
		}
	}
}

const burstEvents = 48

// bursts is a script of events in bursts of eight.
func bursts() (script []mock.Step) {
	for i := 1; i <= burstEvents; i++ {
		if script = append(script, series(i, 1)...); i%8 == 0 {
			script = append(script, mock.Pause(6*time.Second))
		}
	}
	return append(script, mock.Complete())
}

func idOf(ev client.Event) (n int) {
	fmt.Sscan(client.Field("id")(ev), &n)
	return n
}

func keyOfID(ev client.Event) string { return fmt.Sprint(idOf(ev) % 5) }

// A board records which events were handled, and which others are accounted for.
type board struct {
	trial  *scripts.Trial
	policy client.Overflow

	mu      sync.Mutex
	handled [burstEvents + 1]bool
	told    [burstEvents + 1]bool // a Gap accounts for it
	dropped [burstEvents + 1]bool // by this process
}

func (b *board) drop(ev client.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped[idOf(ev)] = true
}

// handle records an event. It is called before its Ack.
func (b *board) handle(ev client.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := idOf(ev)
	b.handled[n] = true
	if g := ev.Gap; g != nil {
		from := 0
		fmt.Sscan(g.From, &from)
		for i := from + 1; i < n; i++ {
			b.told[i] = b.told[i] || g.Reason != transport.GapOverflow || b.dropped[i]
		}
	}
	if ev.Replaced > 0 && b.policy != client.OverflowLatest {
		b.trial.Errorf("event %d has replaced %d, want none", n, ev.Replaced)
	}
	loses := b.policy == client.OverflowDropOldest || b.policy == client.OverflowDropNewest
	if ev.Gap != nil && ev.Gap.Reason == transport.GapOverflow && !loses {
		b.trial.Errorf("event %d: got the Gap %+v, want none", n, *ev.Gap)
	}
	b.trial.Observed.Add(ev.ID, ev.Data, ev.Gap) // for the timeline
}

// isDone reports whether event n needs no further delivery. The caller holds mu.
func (b *board) isDone(n int) bool {
	if b.policy == client.OverflowLatest {
		for later := n + 5; later <= burstEvents; later += 5 {
			if b.handled[later] {
				return true
			}
		}
	}
	return b.handled[n] || b.told[n]
}

// checkStored checks that the stored position passes no event that is not done.
func (b *board) checkStored() {
	b.mu.Lock()
	defer b.mu.Unlock()
	saved := b.trial.Store.History("n")
	if len(saved) == 0 {
		return
	}
	var r stored
	token := 0
	json.Unmarshal(saved[len(saved)-1], &r)
	fmt.Sscan(r.Token, &token)
	for n := 1; n <= token; n++ {
		if !b.isDone(n) {
			b.trial.Errorf("the stored position is %d, but event %d was not handled", token, n)
			return
		}
	}
}

// check checks that every event is done at the end of the feed.
func (b *board) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := 1; n <= burstEvents; n++ {
		if !b.isDone(n) {
			b.trial.Errorf("event %d was not handled, and nothing accounts for it", n)
		}
	}
}

// consume handles events in one of the ways until the process ends, and reports whether the feed is
// complete.
func (b *board) consume(sub *client.Subscription) (done bool) {
	rng := rand.New(rand.NewPCG(b.trial.Rand.Uint64(), 0))
	var err error
	switch rng.IntN(5) {
	case 0:
		for batch, end := range sub.Batches(3, time.Second) {
			if err = end; err != nil {
				break
			}
			b.think(rng)
			for _, ev := range batch {
				b.handle(ev)
			}
		}
	case 1:
		err = b.nexts(rng, sub)
	case 2:
		err = b.process(rng, sub, &client.ProcessOptions{Workers: 3, KeyOf: keyOfID})
	case 3:
		err = b.process(rng, sub, &client.ProcessOptions{Workers: 2})
	default:
		for ev, end := range sub.Events() {
			if err = end; err != nil {
				break
			}
			b.think(rng)
			if rng.IntN(10) == 0 {
				ev.Nack(errBusy)
				continue
			}
			b.handle(ev)
		}
	}
	var gap *client.Gap
	if errors.As(err, &gap) { // after the last event
		b.mu.Lock()
		defer b.mu.Unlock()
		from := 0
		fmt.Sscan(gap.From, &from)
		for i := from + 1; i <= burstEvents; i++ {
			b.told[i] = b.told[i] || b.dropped[i]
		}
		return true
	}
	if errors.Is(err, client.ErrOverflow) && b.policy != client.OverflowStop {
		b.trial.Errorf("got %v", err)
	}
	return err == nil
}

func (b *board) think(rng *rand.Rand) { time.Sleep(time.Duration(rng.IntN(2500)) * time.Millisecond) }

// nexts takes several events and acknowledges them in another order.
func (b *board) nexts(rng *rand.Rand, sub *client.Subscription) error {
	var taken []client.Event
	for {
		ctx, cancel := context.WithTimeout(b.trial.Context(), time.Second)
		ev, err := sub.Next(ctx)
		over := err != nil && ctx.Err() == nil
		if cancel(); err == nil {
			taken = append(taken, ev)
		}
		if over || len(taken) > 2 || err != nil {
			rng.Shuffle(len(taken), func(i, j int) { taken[i], taken[j] = taken[j], taken[i] })
			for _, ev := range taken {
				b.think(rng)
				b.handle(ev)
				ev.Ack()
			}
			taken = nil
		}
		if over {
			if err.Error() == "EOF" {
				return nil
			}
			return err
		}
	}
}

func (b *board) process(rng *rand.Rand, sub *client.Subscription, o *client.ProcessOptions) error {
	var mu sync.Mutex
	return sub.Process(b.trial.Context(), func(_ context.Context, ev client.Event) error {
		mu.Lock()
		d, refuses := time.Duration(rng.IntN(4000))*time.Millisecond, rng.IntN(10) == 0
		mu.Unlock()
		if time.Sleep(d); refuses {
			return errBusy
		}
		b.handle(ev)
		return nil
	}, o)
}
