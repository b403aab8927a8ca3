package client_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	scripts "github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// TestExploreBackfill runs the schedules of TestExplore with processes that have an
// Options.Backfill, over a feed that loses positions. The backfill fails at any place, is slow,
// overlaps with what was received, and answers in every way that repairs a gap. Then there must be
// no Gap, every event must be handled, and no process may skip one: also not one that starts in the
// middle of the backfill of an earlier one.
func TestExploreBackfill(t *testing.T) {
	for seed := *exploreSeed; seed < *exploreSeed+uint64(*exploreRuns)/2 && !t.Failed(); seed++ {
		explore(t, seed, true)
	}
}

// untokened is the type of an event of a backfill whose token is not its own.
const untokened = "untokened"

// backfill delivers the events after a gap from the log of the feed.
func (p *process) backfill(ctx context.Context, rng *rand.Rand, g client.Gap, deliver func(transport.Message) error) (string, error) {
	log := p.feed.Log()
	if rng.IntN(4) == 0 {
		pauseIn(ctx, time.Duration(rng.IntN(60_000))*time.Millisecond)
	}
	if g.Reason == transport.GapStart && rng.IntN(2) == 0 {
		return "", nil // not before there is a connection
	}
	// A list in any order has no tokens; events after a position have.
	tokens, resume, fails := g.From != "" && rng.IntN(2) == 0, g.From, rng.IntN(3) == 0
	for _, f := range log[p.place[g.From]:] {
		if fails && rng.IntN(5) == 0 {
			return "", errors.New("not now")
		}
		i, _ := strconv.Atoi(string(f.Data))
		m := transport.Message{Data: f.Data, ID: p.id[i], Type: untokened}
		if resume = p.id[i]; tokens && p.id[i] != "" {
			m.Token, m.Type = p.id[i], ""
		}
		if err := deliver(m); err != nil {
			return "", err
		}
	}
	if fails {
		return "", errors.New("not yet")
	}
	if rng.IntN(2) == 0 {
		resume = ""
	}
	return resume, nil
}

func pauseIn(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// checkFilled checks that event i is not after one that this process has not received: it may be a
// repetition. The caller holds mu.
func (p *process) checkFilled(i int) {
	if !p.one {
		return
	}
	if len(p.copies) == 0 {
		p.furthest = p.first
		if !p.placed {
			p.furthest = 0
		}
	}
	if i > p.next(p.furthest) {
		p.t.Errorf("got event %d after %d, want the next one", i, p.furthest)
	}
	p.furthest = max(p.furthest, i)
}

// Over each wire, with positions that the server forgets: every event is handled, in order, and no
// Gap is left. What the log does not show of a backfill is in TestExploreBackfill.
func TestExploreBackfillOnEveryWire(t *testing.T) {
	exploreEveryWire(t, scripts.Options{Lossy: true, Faults: 20}, func(trial *scripts.Trial, src transport.Transport, token func(client.Event) string) {
		for ctx := range trial.Processes() {
			sub, err := client.Subscribe(ctx, src, &client.Options{
				Name: "n", Store: trial.Store, TokenOf: token, Buffer: 4, Backfill: fromLog(trial),
			})
			if err == nil && observe(sub, trial) {
				break
			}
		}
		trial.Feed.Verify(trial, trial.Observed)
	})
}

// fromLog returns a backfill from the log of a feed whose events have the ids 1, 2 and so on.
func fromLog(trial *scripts.Trial) func(context.Context, client.Gap, func(transport.Message) error) (string, error) {
	return func(ctx context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
		after, _ := strconv.Atoi(g.From)
		last := g.From
		for _, f := range trial.Feed.Log() {
			if n, _ := strconv.Atoi(f.ID); n <= after {
				continue
			}
			pauseIn(ctx, 100*time.Millisecond)
			last = f.ID
			if err := deliver(transport.Message{ID: f.ID, Data: f.Data, Token: f.ID}); err != nil {
				return "", err
			}
		}
		return last, nil
	}
}

// observe reads a feed, and reports whether it is complete.
func observe(sub *client.Subscription, trial *scripts.Trial) bool {
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			return false
		}
		if ev.Gap != nil {
			trial.Errorf("event %s: got a Gap (%s), want none", ev.ID, ev.Gap.Reason)
		}
		trial.Observed.Add(ev.ID, ev.Data, nil)
	}
	return true
}
