package client_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A backfill that has filled the start without a position, and accepts what is missing between that and
// the connection: the first event of the feed has the gap.
func TestGapAfterTheStartIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []transport.GapReason
		sub := subscribe(t, script(events("1", "2"), steps(mock.Complete())), &client.Options{
			Backfill: func(_ context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
				asked = append(asked, g.Reason)
				if g.Reason == transport.GapNoToken {
					return "", client.ErrAcceptGap
				}
				return "", deliver(transport.Message{Data: []byte("listed")})
			},
		})
		defer sub.Close()
		var gaps []string
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			reason := "none"
			if ev.Gap != nil {
				reason = string(ev.Gap.Reason)
			}
			gaps = append(gaps, string(ev.Data)+": "+reason)
		}
		want(t, "gaps", gaps, []string{"listed: none", "data 1: no token", "data 2: none"})
		want(t, "reasons", asked, []transport.GapReason{transport.GapStart, transport.GapNoToken})
		if s := sub.Stats(); s.Gaps != 1 || s.Repaired != 0 {
			t.Errorf("got %d gaps, %d repaired, want one that is not", s.Gaps, s.Repaired)
		}
	})
}
