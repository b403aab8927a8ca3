package explore_test

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

var exploreRuns = flag.Int("explore.runs", 40, "runs of TestClient; half as many of TestClientOnEveryWire")

// The client keeps its guarantees under every schedule.
func TestClient(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		explore.Run(t, explore.Options{Bubble: in(t), Runs: *exploreRuns, Lossy: lossy, Faults: 20}, subscribe(nil, func(feed *mock.Feed) (transport.Transport, func()) {
			return feed, func() {}
		}))
	}
}

// On a wire, connections fall silent too.
func TestClientOnEveryWire(t *testing.T) {
	e := explore.Options{Bubble: in(t), Runs: *exploreRuns / 2, Stalls: true}
	explore.Run(t, e, subscribe(nil, func(feed *mock.Feed) (transport.Transport, func()) {
		srv := mock.NewServer(feed.Handler(decode.SSE{}))
		return &transport.HTTP{URL: "http://feed.test", Client: srv.Client()}, func() { srv.Close() }
	}))
	explore.Run(t, e, subscribe(client.Field("id"), func(feed *mock.Feed) (transport.Transport, func()) {
		srv := mock.NewServer(feed.WebSocket(nil, nil))
		return &transport.WebSocket{
			URL: "ws://feed.test", Client: srv.Client(), End: transport.EndFeed, IdleTimeout: time.Minute,
			Resume: transport.ResumeQuery("since"),
		}, func() { srv.Close() }
	}))
}

// The client resumes from a checkpoint in a file, whenever its process is stopped.
func TestClientWithFiles(t *testing.T) {
	lives := 0
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 8, Stalls: true}, func(trial *explore.Trial) {
		srv := mock.NewServer(trial.Feed.Handler(decode.SSE{}))
		defer srv.Close()
		store := client.FileStore(t.TempDir())
		for done := false; !done; lives++ {
			ctx, stop := context.WithTimeout(trial.Context(), time.Duration(trial.Rand.Int64N(int64(time.Minute))))
			sub, err := client.Subscribe(ctx, &transport.HTTP{URL: "http://feed.test", Client: srv.Client()},
				&client.Options{Name: "n", Store: store})
			if err == nil {
				done = consume(sub, trial.Observed)
			}
			stop()
		}
		trial.Feed.Verify(trial, trial.Observed)
	})
	if lives < 12 {
		t.Errorf("got %d processes in 8 runs, want more than one per run", lives)
	}
}

// subscribe returns the scenario of a client that is restarted repeatedly.
func subscribe(token func(client.Event) string, wire func(*mock.Feed) (transport.Transport, func())) func(*explore.Trial) {
	return func(trial *explore.Trial) {
		tr, stop := wire(trial.Feed)
		defer stop()
		for ctx := range trial.Processes() {
			sub, err := client.Subscribe(ctx, tr, &client.Options{Name: "n", Store: trial.Store, TokenOf: token})
			if err == nil && consume(sub, trial.Observed) {
				break
			}
		}
		trial.Feed.Verify(trial, trial.Observed)
	}
}

// consume reports whether the feed is complete.
func consume(sub *client.Subscription, seen *mock.Observed) bool {
	defer sub.Close()
	for ev, err := range sub.Events() {
		var gap *client.Gap
		switch {
		case err == nil:
			seen.Add(ev.ID, ev.Data, ev.Gap)
		case errors.As(err, &gap):
			seen.Add("", nil, gap) // after the last event
			return true
		default:
			return false
		}
	}
	return true
}
