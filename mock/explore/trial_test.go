package explore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// A stopped process can still save, a killed one cannot, and the feed continues between
// processes.
func TestStoppedAndKilledProcesses(t *testing.T) {
	var saved, lost, played int
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 70, Faults: 40}, func(trial *explore.Trial) {
		if c, err := trial.Feed.Open(trial.Context(), ""); err == nil {
			wiretest.ReadFrom(c)
			c.Close()
		}
		key, log := 0, 0
		for ctx := range trial.Processes() {
			if n := len(trial.Feed.Log()); log > 0 && n > log {
				played++
			}
			for range 50 { // past the faults of the store
				key++
				trial.Store.Save(ctx, fmt.Sprint(key), []byte("x"), "")
			}
			wait(ctx, 2*time.Minute)
			if ctx.Err() == nil {
				break
			}
			if _, err := trial.Store.Save(context.Background(), fmt.Sprint("last", key), []byte("x"), ""); err == nil {
				saved++
			} else {
				lost++
			}
			log = len(trial.Feed.Log())
		}
		read := true
		for token := ""; read; { // for the rest of the script
			c, err := trial.Feed.Open(trial.Context(), token)
			for err == nil {
				_, err = wiretest.ReadFrom(c)
			}
			read = err != transport.ErrComplete
			wait(trial.Context(), time.Second)
		}
	})
	if saved < 20 || lost < 20 || played < 20 {
		t.Errorf("after their end %d processes could save and %d could not, and the feed continued %d times, want each more than once", saved, lost, played)
	}
}

// A seed determines the numbers of Rand.
func TestRand(t *testing.T) {
	chosen := make(map[int]bool)
	for range 3 {
		explore.Run(t, explore.Options{Bubble: in(t), Script: []mock.Step{}, Seed: 5, Runs: 1}, func(trial *explore.Trial) {
			chosen[trial.Rand.Int()] = true
		})
	}
	if len(chosen) != 1 {
		t.Errorf("got %d different numbers from one seed, want 1", len(chosen))
	}
}
