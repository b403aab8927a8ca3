package retry_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// An outage records how 5,000 feeds reconnect that lost their server at the same time. They share
// nothing, so they are played one after the other.
type outage struct {
	lasted   time.Duration
	back     []time.Duration // after its end, in order
	attempts int             // of all feeds
	busiest  int             // attempts in one second after its end
}

func play(lasted time.Duration, policy retry.Policy) *outage {
	const feeds = 5000
	o, seconds := &outage{lasted: lasted}, make(map[time.Duration]int)
	refused := retry.Failure{Err: errors.New("connection refused")}
	for range feeds {
		b, start := policy.Start(), time.Now()
		time.Sleep(b.Next(lost).Delay)
		for o.attempts++; time.Since(start) < lasted; o.attempts++ {
			time.Sleep(b.Next(refused).Delay)
		}
		late := time.Since(start) - lasted
		o.back = append(o.back, late)
		seconds[late/time.Second]++
	}
	slices.Sort(o.back)
	for _, n := range seconds {
		o.busiest = max(o.busiest, n)
	}
	return o
}

// quantile returns the time after which q of 100 feeds are connected.
func (o *outage) quantile(q int) time.Duration { return o.back[(len(o.back)-1)*q/100] }

// TestOutage checks the table of the package comment.
func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		lasted            time.Duration
		half, most, all   time.Duration
		busiest, attempts int // in a second; of one feed
	}{
		{sec, 300 * ms, 900 * ms, sec, 5000, 3},
		{5 * sec, 1400 * ms, 4500 * ms, 5 * sec, 2000, 6},
		{minute, 11 * sec, 27 * sec, 30 * sec, 300, 11},
		{10 * minute, 11 * sec, 27 * sec, 30 * sec, 300, 35},
	} {
		t.Run(tt.lasted.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := play(tt.lasted, retry.Policy{})
				t.Logf("back after %v, %v, %v; %d in the busiest second; %.1f attempts each",
					o.quantile(50), o.quantile(99), o.quantile(100), o.busiest, float64(o.attempts)/float64(len(o.back)))
				if got := o.quantile(50); got > tt.half*5/4 || got < tt.half*3/4 {
					t.Errorf("half of the feeds: got %v, want about %v", got, tt.half)
				}
				if got := o.quantile(99); got > tt.most*11/10 || got < tt.most*9/10 {
					t.Errorf("99 of 100 feeds: got %v, want about %v", got, tt.most)
				}
				if got := o.quantile(100); got > tt.all {
					t.Errorf("all feeds: got %v, want at most %v", got, tt.all)
				}
				if o.busiest > tt.busiest {
					t.Errorf("got %d feeds in the busiest second, want at most %d", o.busiest, tt.busiest)
				}
				if most := tt.attempts * len(o.back); o.attempts > most {
					t.Errorf("got %d attempts, want at most %d", o.attempts, most)
				}
			})
		})
	}
}
