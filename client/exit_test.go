package client_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A function of the program that calls runtime.Goexit, as a failed assertion in a test does, ends the
// subscription: nothing waits for the goroutine that is gone.
func TestExitEndsTheSubscription(t *testing.T) {
	for name, o := range map[string]client.Options{
		"Skip":           {Skip: func(client.Event) bool { runtime.Goexit(); return false }},
		"Backfill":       {Backfill: exitingBackfill},
		"Trace.Gap":      {Trace: &client.Trace{Gap: func(client.Gap) { runtime.Goexit() }}},
		"Trace.Ended":    {Trace: &client.Trace{Ended: func(error) { runtime.Goexit() }}},
		"Trace.CaughtUp": {Trace: &client.Trace{CaughtUp: func() { runtime.Goexit() }}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sub := subscribe(t, script(steps(mock.Drop(), mock.Event("", "1"), mock.Complete())), &o)
				defer sub.Close()
				drained := make(chan error, 1)
				go func() {
					time.Sleep(time.Hour)
					drained <- sub.Drain(within(t, time.Hour))
				}()
				var stop *client.StopError
				_, err := data(t, sub, 0)
				if exits := errors.As(err, &stop) && strings.Contains(err.Error(), "Goexit"); exits != (name != "Trace.Ended") {
					t.Errorf("the loop ended with %v, want a StopError that names runtime.Goexit", err)
				}
				if err := <-drained; errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Drain: %v", err)
				}
			})
		})
	}
}

func exitingBackfill(context.Context, client.Gap, func(transport.Message) error) (string, error) {
	runtime.Goexit()
	return "", nil
}

// The same, where Backfill has a goroutine of its own.
func TestExitOfABackfillBesideAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, new(hub), &client.Options{Dedupe: 10, Backfill: exitingBackfill})
		defer sub.Close()
		if _, err := sub.Next(within(t, time.Hour)); err == nil || !strings.Contains(err.Error(), "Goexit") {
			t.Errorf("Next: got %v, want an error that names runtime.Goexit", err)
		}
	})
}

// A Store that calls runtime.Goexit has failed, and is called again.
func TestExitOfAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &exitingStore{Store: new(mock.Store)}
		sub := subscribe(t, script(events("1")), &client.Options{Name: "n", Store: store})
		if _, err := data(t, sub, 1); err != nil {
			t.Fatal(err)
		}
		store.exits.Store(true)
		time.Sleep(time.Minute)
		if s := sub.Stats(); s.CheckpointError == nil {
			t.Errorf("Stats: got %+v, want a CheckpointError", s)
		}
		store.exits.Store(false)
		time.Sleep(time.Minute)
		if s := sub.Stats(); s.CheckpointError != nil || s.Checkpointed != 1 {
			t.Errorf("Stats: got %d events checkpointed and %v, want 1 and nil", s.Checkpointed, s.CheckpointError)
		}
		store.exits.Store(true)
		if err := sub.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

type exitingStore struct {
	client.Store
	exits atomic.Bool
}

func (s *exitingStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	if s.exits.Load() {
		runtime.Goexit()
	}
	return s.Store.Load(ctx, key)
}

func (s *exitingStore) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if s.exits.Load() {
		runtime.Goexit()
	}
	return s.Store.Save(ctx, key, data, prev)
}
