package explore_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// TestClientReplacement replaces connections while faults happen: by age, and because their
// credentials expire; with and without Overlap, and by servers that allow one connection.
func TestClientReplacement(t *testing.T) {
	var script []mock.Step
	for n := 1; n <= 20; n++ {
		script = append(script, mock.Event(fmt.Sprint(n), fmt.Sprintf(`{"id":"%d"}`, n)), mock.Pause(4*time.Second))
	}
	script = append(script, mock.Complete())
	for name, format := range map[string]decode.Format{"SSE": decode.SSE{}, "NDJSON": decode.NDJSON} {
		for _, lossy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lossy %t", name, lossy), func(t *testing.T) {
				var replaced, duplicates atomic.Int64
				e := explore.Options{Bubble: in(t), Runs: 2 * *exploreRuns, Script: script, Stalls: true, Lossy: lossy, Faults: 16}
				explore.Run(t, e, func(trial *explore.Trial) {
					replacedClient(trial, format, &replaced, &duplicates)
				})
				t.Logf("got %d replacements and %d duplicates that were dropped", replaced.Load(), duplicates.Load())
				if replaced.Load() < int64(*exploreRuns) || duplicates.Load() == 0 {
					t.Errorf("got %d replacements and %d duplicates that were dropped, want more", replaced.Load(), duplicates.Load())
				}
			})
		}
	}
}

func replacedClient(trial *explore.Trial, format decode.Format, replaced, duplicates *atomic.Int64) {
	trial.Feed.MaxConns = trial.Rand.IntN(3) // 0: no limit
	srv := mock.NewServer(trial.Feed.Handler(format))
	defer srv.Close()
	srv.Latency = time.Duration(trial.Rand.IntN(3000)) * time.Millisecond
	h := &transport.HTTP{URL: "http://feed.test", Client: srv.Client(), Overlap: trial.Rand.IntN(3) > 0, IdleTimeout: time.Minute}
	o := client.Options{Name: "n", Store: trial.Store, Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) {
		if d.Err != nil && d.Err.Error() == "client: the connection was replaced before its end" {
			replaced.Add(1)
		}
	}}}
	if format == decode.NDJSON {
		h.Resume, o.TokenOf = transport.ResumeQuery("since"), client.Field("id")
	}
	if life := time.Duration(12+trial.Rand.IntN(20)) * time.Second; trial.Rand.IntN(2) == 0 {
		h.MaxConnectionAge = life
	} else {
		h.Prepare = func(req *http.Request) error {
			transport.ReplaceBefore(req.Context(), time.Now().Add(life))
			return nil
		}
	}
	for ctx := range trial.Processes() {
		sub, err := client.Subscribe(ctx, h, &o)
		if err != nil {
			continue
		}
		done := consume(sub, trial.Observed)
		duplicates.Add(int64(sub.Stats().Duplicates))
		if done {
			break
		}
	}
	trial.Feed.Verify(trial, trial.Observed)
}
