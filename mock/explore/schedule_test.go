package explore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// The calls of the store that a schedule names are the ones that fail.
func TestStoreFaults(t *testing.T) {
	for n := 1; n <= 8; n++ {
		for _, call := range []string{"save", "load"} {
			var found reports
			explore.Run(&found, explore.Options{Bubble: in(t), Runs: 3000, Script: []mock.Step{}}, func(trial *explore.Trial) {
				for i := 1; i <= 8; i++ {
					key := fmt.Sprint(i) // never saved before
					_, _, loadErr := trial.Store.Load(trial.Context(), key)
					_, saveErr := trial.Store.Save(trial.Context(), key, []byte("x"), "")
					if i == n && (call == "save" && saveErr != nil || call == "load" && loadErr != nil) {
						trial.Errorf("it fails")
					}
				}
			})
			if len(found) != 1 || !strings.Contains(found[0], "\n1 of ") || !strings.Contains(found[0], fmt.Sprintf(" %s %d fails", call, n)) {
				t.Errorf("%s %d: got reports %s, want one of a failing %s", call, n, strings.Join(found, "\n"), call)
			}
		}
	}
}

// Only an attempt with a token is answered with 410.
func TestOnlyAttemptsWithATokenAreRejected(t *testing.T) {
	rejected := 0
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 70, Faults: 20, Lossy: true}, func(trial *explore.Trial) {
		w := worker{trial: trial}
		for ctx := range trial.Processes() {
			if w.live(ctx) {
				break
			}
		}
		for _, a := range trial.Feed.Attempts() {
			switch code := status(a.Err); {
			case code == 410 && a.Token == "":
				trial.Errorf("an attempt without a token was rejected")
			case code == 410:
				rejected++
			}
		}
	})
	if rejected < 10 {
		t.Errorf("got %d rejected tokens, want at least 10", rejected)
	}
}

func TestWithoutFaults(t *testing.T) {
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 10, Faults: -1, Limit: -1}, func(trial *explore.Trial) {
		c, err := trial.Feed.Open(trial.Context(), "")
		for err == nil {
			_, err = wiretest.ReadFrom(c)
		}
		if err != transport.ErrComplete || len(trial.Feed.Log()) != 20 || len(trial.Feed.Attempts()) != 1 {
			trial.Errorf("got %v after %d events and %d attempts, want %v after 20 and 1", err, len(trial.Feed.Log()), len(trial.Feed.Attempts()), transport.ErrComplete)
		}
	})
}
