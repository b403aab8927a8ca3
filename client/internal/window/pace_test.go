package window

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	start := time.Now()
	var p pace
	steps := []struct {
		received uint64
		at       time.Duration
		want     bool
	}{
		{1, 0, false},
		{10, 10 * fastEvery, false},
		{33, 31 * fastEvery, true},                        // 32 events in less than their time
		{40, 60 * fastEvery, true},                        // too few to judge
		{41, (31 + paceEvents + 1) * fastEvery, false},    // too few in too long
		{141, (31 + paceEvents + 200) * fastEvery, false}, // many at once, after a pause
		{241, (31 + paceEvents + 210) * fastEvery, true},
	}
	p.isFast(1, start)
	for _, s := range steps {
		if got := p.isFast(s.received, start.Add(s.at)); got != s.want {
			t.Errorf("%d events after %v: got fast %v, want %v", s.received, s.at, got, s.want)
		}
	}
}
