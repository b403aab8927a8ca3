package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	scripts "github.com/steadfeed/steadfeed/mock/explore"
)

// Over each wire, processes are paused and resumed, and end by Drain: every event is handled, in order.
// What a process has handled is saved if its Drain has returned nil.
func TestExploreDrainOnEveryWire(t *testing.T) {
	for name, wire := range everyWire {
		t.Run(name, func(t *testing.T) {
			drained := 0
			o := scripts.Options{Runs: max(1, *exploreRuns/8), Faults: 8, Stalls: name != "none"}
			o.Bubble = func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
			scripts.Run(t, o, func(trial *scripts.Trial) {
				src, stop, token := wire(trial.Feed)
				defer stop()
				placed := false
				for complete := false; !complete && trial.Context().Err() == nil; {
					sub, err := client.Subscribe(trial.Context(), src, &client.Options{
						Name: "n", Store: trial.Store, TokenOf: token, Buffer: 4,
					})
					if err != nil {
						continue
					}
					last, over := "", make(chan struct{})
					go func() {
						defer close(over)
						handle(sub, trial, &last)
					}()
					for !placed { // a restart without a position would lose events
						time.Sleep(time.Second)
						placed = sub.Stats().Checkpointed > 0
					}
					nap(trial, over, 20*time.Second)
					sub.Pause()
					nap(trial, over, 5*time.Minute)
					sub.Resume()
					nap(trial, over, 10*time.Second)
					select {
					case <-over:
						complete = true
					default:
					}
					limit, cancel := context.WithTimeout(trial.Context(), time.Duration(trial.Rand.Int64N(int64(10*time.Second))))
					err = sub.Drain(limit)
					if cancel(); err == nil {
						<-over
						drained++
						checkSaved(trial, last)
					}
					sub.Close()
					<-over
				}
				trial.Feed.Verify(trial, trial.Observed)
			})
			if drained < o.Runs {
				t.Errorf("%d processes were drained in %d runs, want more", drained, o.Runs)
			}
		})
	}
}

// nap sleeps for up to d, or until over is closed.
func nap(trial *scripts.Trial, over <-chan struct{}, d time.Duration) {
	select {
	case <-over:
	case <-time.After(1 + time.Duration(trial.Rand.Int64N(int64(d)))):
	}
}

// lastSaved returns the record in the store.
func lastSaved(trial *scripts.Trial) (r stored) {
	saved := trial.Store.History("n")
	if len(saved) == 0 {
		return r
	}
	if err := json.Unmarshal(saved[len(saved)-1], &r); err != nil {
		trial.Errorf("record: %v", err)
	}
	return r
}

// checkSaved checks that the last event handled is saved.
func checkSaved(trial *scripts.Trial, last string) {
	if r := lastSaved(trial); last != "" && r.Token != last {
		trial.Errorf("Drain returned nil with %q saved, want %q", r.Token, last)
	}
}

// handle handles events and sets last to the id of the last one.
func handle(sub *client.Subscription, trial *scripts.Trial, last *string) {
	for ev, err := range sub.Events() {
		var gap *client.Gap
		if errors.As(err, &gap) { // after the last event
			trial.Observed.Add("", nil, gap)
		}
		if err != nil {
			return
		}
		time.Sleep(time.Second)
		trial.Observed.Add(ev.ID, ev.Data, ev.Gap)
		*last = client.Field("id")(ev)
	}
}
