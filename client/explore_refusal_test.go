package client_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	scripts "github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// Over each wire, consumers refuse events in every way, with and without a DeadLetter, which fails
// sometimes, and their process crashes in between. After each schedule, these promises must hold:
//
//   - the stored position has passed no event that was not handled or buried before;
//   - every event was handled or buried, or a Gap accounts for it;
//   - a refused event comes again in the next attempt, not before its delay, and never after it was
//     refused permanently;
//   - only an event that was refused permanently is buried, once, or ends the subscription.
func TestExploreRefusal(t *testing.T) {
	exploreEveryWire(t, scripts.Options{Lossy: true}, func(trial *scripts.Trial, src transport.Transport, token func(client.Event) string) {
		newShop(trial, token).run(src, 1+trial.Rand.IntN(3), (*worker).loop)
	})
}

// Over each wire, Process is called again and again, with keys and several workers, whose handlers
// refuse, panic and exit. Besides the promises of TestExploreRefusal, these must hold:
//
//   - within one call, the events of a key are handled one at a time and in order, and none before
//     one that was refused;
//   - when a call returns, no handler runs, and what was handled is acknowledged.
func TestExploreProcess(t *testing.T) {
	exploreEveryWire(t, scripts.Options{Lossy: true}, func(trial *scripts.Trial, src transport.Transport, token func(client.Event) string) {
		newShop(trial, token).run(src, 1, (*worker).process)
	})
}

// process calls Process until the feed ends.
func (p *worker) process(rng *rand.Rand) {
	for {
		ctx, cancel := context.WithTimeout(p.Context(), time.Duration(1+rng.IntN(60_000))*time.Millisecond)
		c := &crew{worker: p, rng: rng, running: make(map[int]int), last: make(map[int]int), blocked: make(map[int]int)}
		c.keyed = rng.IntN(3) > 0
		o := &client.ProcessOptions{Workers: rng.IntN(5)}
		if c.keyed {
			o.KeyOf = func(ev client.Event) string { return string(rune('a' + eventNumber(ev)%3)) }
		}
		err := p.sub.Process(ctx, c.handle, o)
		goesOn := err == nil && ctx.Err() != nil && p.Context().Err() == nil && !p.crashed.Load()
		cancel()
		if c.keyed {
			p.endDelays()
		}
		for key, n := range c.running {
			if n != 0 {
				p.Errorf("Process returned while %d handlers of key %d run", n, key)
			}
		}
		if acked := p.sub.Stats().Acked; err == nil && !p.crashed.Load() && acked < p.acked.Load() {
			p.Errorf("Process returned with %d events acknowledged, want %d", acked, p.acked.Load())
		}
		if !goesOn {
			p.ended(err)
			return
		}
	}
}

// endDelays makes all refused events due, as the end of a call of Process with keys does.
func (p *worker) endDelays() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.copies {
		if !c.due.IsZero() {
			c.due = time.Now()
		}
	}
}

// A crew is the handlers of one call of Process.
type crew struct {
	*worker
	keyed bool

	mu      sync.Mutex
	rng     *rand.Rand
	running map[int]int // handlers of a key
	last    map[int]int // event of a key that was started
	blocked map[int]int // event of a key that was refused
}

func (c *crew) handle(_ context.Context, ev client.Event) error {
	n, rng := c.start(ev)
	time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	crashed := rng.IntN(20) == 0 && c.crash()
	return c.end(ev, n, rng, crashed)
}

// start checks that ev may be handled now.
func (c *crew) start(ev client.Event) (n int, rng *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = c.deliver(ev)
	key := n % 3
	c.running[key]++
	if n > 0 && c.keyed {
		if c.running[key] > 1 {
			c.Errorf("event %d is handled beside another one of its key", n)
		}
		if b := c.blocked[key]; b > 0 && b != n && !c.isBuried(b) {
			c.Errorf("event %d is handled before event %d, which was refused", n, b)
		}
		if ev.Attempt == 1 && n < c.last[key] {
			c.Errorf("event %d is handled after event %d", n, c.last[key])
		}
		c.last[key] = max(n, c.last[key])
	}
	return n, rand.New(rand.NewPCG(c.rng.Uint64(), 0))
}

func (p *worker) isBuried(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.copies[n].buried
}

// end ends a handler in one of the ways.
func (c *crew) end(ev client.Event, n int, rng *rand.Rand, crashed bool) (err error) {
	how := rng.IntN(12)
	c.mu.Lock()
	c.running[n%3]--
	c.blocked[n%3] = 0
	switch {
	case crashed:
		how = 0
	case how < 4:
		if err = c.refuse(rng, ev, n, how < 2); err != nil {
			c.blocked[n%3] = n
			break
		}
		fallthrough
	default:
		c.finish(n)
	}
	c.mu.Unlock()
	switch {
	case err != nil && how == 0:
		panic(err)
	case err != nil && how == 1:
		runtime.Goexit()
	}
	return err
}
