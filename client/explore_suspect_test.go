package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// In random schedules, over each wire, an event that ends the process is dead-lettered, alone, and
// every other one is handled.
func TestExploreSuspect(t *testing.T) {
	for name, wire := range everyWire {
		t.Run(name, func(t *testing.T) {
			for seed := *exploreSeed; seed < *exploreSeed+uint64(max(1, *exploreRuns/4)) && !t.Failed(); seed++ {
				synctest.Test(t, func(t *testing.T) { exploreSuspect(t, rand.New(rand.NewPCG(seed, 0)), wire) })
				if t.Failed() {
					t.Logf("repeat with -explore.seed=%d -explore.runs=1", seed)
				}
			}
		})
	}
}

func exploreSuspect(t *testing.T, rng *rand.Rand, wire func(*mock.Feed) (transport.Transport, func(), func(client.Event) string)) {
	n := 3 + rng.IntN(15)
	poison := 1 + rng.IntN(n)
	all := series(0, 1)
	for i := 1; i <= n; i++ {
		all = append(all, series(i, 1)...)
		switch rng.IntN(8) {
		case 0, 1:
			all = append(all, mock.Drop())
		case 2:
			all = append(all, mock.Refuse(), mock.Status(http.StatusServiceUnavailable))
		}
	}
	store, letters := new(mock.Store), &morgue{fails: rng.IntN(3)}
	src, stop, token := wire(script(all, steps(mock.Complete())))
	defer stop()
	handled := make([]bool, n+1)
	o := &client.Options{Name: "n", Store: store, TokenOf: token, DeadLetter: letters.put, CommitEvery: time.Duration(1+rng.IntN(2000)) * time.Millisecond}
	first := subscribe(t, src, o) // so that there is a position in the store
	next(t, first).Ack()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for lives := 0; ; lives++ {
		if lives > 20 {
			t.Errorf("got %d crashes, want the event %d dead-lettered", lives, poison)
			return
		}
		if live(t, src, store, o, rng, handled, poison) {
			break
		}
		if rng.IntN(3) == 0 {
			time.Sleep(20 * time.Minute)
		}
	}
	for i := 1; i <= n; i++ {
		if !handled[i] && i != poison {
			t.Errorf("event %d of %d is lost", i, n)
		}
	}
	for _, call := range letters.log() {
		if ev := fmt.Sprint(poison, "#"); call[:len(ev)] != ev {
			t.Errorf("got the dead letter %q, want event %d only", call, poison)
		}
	}
	if len(letters.log()) == 0 {
		t.Errorf("event %d was not dead-lettered", poison)
	}
}

// live is the life of a process, which ends at the poison or at the end of the feed.
func live(t *testing.T, src transport.Transport, store *mock.Store, o *client.Options, rng *rand.Rand, handled []bool, poison int) (complete bool) {
	sub := subscribe(t, src, o)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	rng = rand.New(rand.NewPCG(rng.Uint64(), 0))
	work := time.Duration(rng.IntN(2000)) * time.Millisecond
	process := &client.ProcessOptions{Workers: 1 + rng.IntN(2)}
	if rng.IntN(2) == 0 {
		process.KeyOf = func(ev client.Event) string { return ev.ID[len(ev.ID)-1:] }
	}
	died := make(chan struct{})
	gone := &mock.Fault{Count: -1, Err: errors.New("crashed")}
	err := sub.Process(ctx, func(_ context.Context, ev client.Event) error {
		time.Sleep(work)
		if i := eventNumber(ev); i == poison && ctx.Err() == nil {
			store.OnSave(gone)
			kill()
			close(died)
			sub.Close()
		} else if ctx.Err() == nil {
			handled[i] = true // in another slot for each event
		}
		return nil
	}, process)
	if err != nil {
		t.Errorf("Process: %v", err)
	}
	sub.Close()
	gone.Remove()
	select {
	case <-died:
		return false
	default:
		return true
	}
}
