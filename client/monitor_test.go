package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
)

// lookup returns the only subscription of a monitor.
func lookup(t *testing.T, m *client.Monitor) client.Snapshot {
	t.Helper()
	all := m.Snapshots()
	if len(all) != 1 {
		t.Fatalf("got %d subscriptions, want 1", len(all))
	}
	s, ok := m.Lookup(all[0].ID)
	if !ok {
		t.Fatalf("Lookup(%d): got false, want the subscription", all[0].ID)
	}
	return s
}

// outline returns a timeline as "state: reason class xcount".
func outline(timeline []client.Transition) (lines []string) {
	for _, tr := range timeline {
		line := fmt.Sprintf("%v: %s", tr.State, tr.Reason)
		if tr.Err != "" {
			line += ", " + tr.Class.String()
		}
		if tr.Count > 1 {
			line += fmt.Sprintf(" x%d", tr.Count)
		}
		lines = append(lines, line)
	}
	return lines
}

// A server is away for hours. The timeline still shows how that began, and what was lost.
func TestTimelineOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, start := new(client.Monitor), time.Now()
		feed := script(events("1"), steps(mock.Pause(time.Minute), mock.Drop()), slices.Repeat(steps(mock.Status(503)), 500),
			steps(mock.Status(410)), events("2"), steps(mock.Pause(time.Minute), mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Name: "n", Monitor: m})
		data(t, sub, 2)
		s := lookup(t, m)
		want(t, "timeline", outline(s.Timeline), []string{
			"live: connected", "backing off: disconnected, network", "backing off: connect failed, server x500",
			"connecting: gap: token rejected", "backing off: connect failed, token rejected", "live: connected"})
		lost, away := s.Timeline[1], s.Timeline[2]
		if lost.Time.Sub(start) != time.Minute || lost.Err == "" || lost.Delay <= 0 {
			t.Errorf("got %+v, want a loss after a minute with its error and delay", lost)
		}
		if d := away.Last.Sub(away.Time); d < time.Hour || away.Delay < 10*time.Second || !strings.Contains(away.Err, "503") {
			t.Errorf("got %+v, want failures for hours with the last delay", away)
		}
		data(t, sub, 0)
		sub.Close()
		s = lookup(t, m)
		if last := s.Timeline[len(s.Timeline)-1]; last.State != client.StateEnded || last.Reason != "complete" || !s.Closed || s.Received != 2 {
			t.Errorf("after Close: got %+v, closed %v, want a complete feed of 2 events", last, s.Closed)
		}
	})
}

// A connection that breaks each second shares entries, and the beginning stays.
func TestTimelineOfAFlappingFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		sub := subscribe(t, flapping{}, &client.Options{Monitor: m, Retry: retry.Constant(time.Second)})
		defer sub.Close()
		time.Sleep(time.Hour)
		sub.Pause()
		sub.Resume()
		lines := outline(lookup(t, m).Timeline)
		if len(lines) != 5 || lines[0] != "live: connected x3600" || lines[1] != "backing off: disconnected, network x3600" || lines[3] != "paused: Pause" {
			t.Errorf("got %q, want one entry for all connections, one for their ends, and a pause", lines)
		}
	})
}

// However different the transitions are, the timeline is bounded, and the newest stay.
func TestTimelineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		var refuse int
		feed := refusing(func() error {
			refuse++
			return errors.New(strings.Repeat("ä", refuse) + strings.Repeat("x", 500))
		})
		sub := subscribe(t, feed, &client.Options{Monitor: m})
		defer sub.Close()
		time.Sleep(time.Hour)
		timeline := lookup(t, m).Timeline
		texts := 0
		for _, tr := range timeline {
			if tr.Err != "" {
				texts++
			}
			if len(tr.Err) > 128 {
				t.Errorf("got a text of %d bytes, want at most 128", len(tr.Err))
			}
		}
		if len(timeline) != 20 || texts != 8 || timeline[19].Err == "" || !strings.HasPrefix(timeline[19].Err, "ää") {
			t.Errorf("got %d entries with %d texts, want 20 and 8, and the last one with its own", len(timeline), texts)
		}
	})
}

// History has a sample each 10 s, for 10 min.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, start := new(client.Monitor), time.Now()
		feed := &ticker{tick: 100 * time.Millisecond, start: start}
		sub := subscribe(t, feed, &client.Options{Monitor: m, EventTime: func(ev client.Event) time.Time { return ev.Received.Add(-1500 * time.Millisecond) }})
		defer sub.Close()
		go func() {
			for ev := range sub.Events() {
				if tickOf(t, ev) == 3000 {
					<-t.Context().Done()
				}
			}
		}()
		time.Sleep(5*time.Minute + 50*time.Millisecond)
		s := lookup(t, m)
		if n := len(s.History); n != 30 || s.Rate < 9.9 || s.Rate > 10.1 || s.Lag != 1500*time.Millisecond {
			t.Fatalf("got %d samples, rate %v and lag %v, want 30, 10 and 1.5s", n, s.Rate, s.Lag)
		}
		for i, sample := range s.History {
			if at := sample.Time.Sub(start); at != time.Duration(i+1)*10*time.Second || sample.Rate < 9.8 || sample.Rate > 10.2 || sample.Lag != 1500*time.Millisecond || sample.Buffered > 1 {
				t.Errorf("sample %d: got %+v after %v, want 10 events a second", i, sample, at)
			}
		}
		time.Sleep(20 * time.Minute)
		h := lookup(t, m).History
		if len(h) != 60 || !slices.IsSortedFunc(h, func(a, b client.Sample) int { return a.Time.Compare(b.Time) }) {
			t.Fatalf("got %d samples, want 60 in order", len(h))
		}
		if last := h[59]; last.Buffered != 1024 || last.Rate != 0 || time.Since(last.Time) > 10*time.Second {
			t.Errorf("while the consumer hangs: got %+v, want a full buffer and no events", last)
		}
	})
}

// Snapshots are in the order of names and then of starts, and the last ended ones are kept.
func TestMonitorKeepsTheLastEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &client.Monitor{Keep: 2}
		open := func(name string) *client.Subscription {
			return subscribe(t, script(events("1")), &client.Options{Name: name, Monitor: m})
		}
		b, a, b2, c := open("b"), open("a"), open("b"), open("c")
		names := func() (list []string) {
			for _, s := range m.Snapshots() {
				list = append(list, fmt.Sprintf("%s%d %v", s.Name, s.ID, s.Closed))
			}
			return list
		}
		want(t, "at first", names(), []string{"a2 false", "b1 false", "b3 false", "c4 false"})
		b2.Close()
		want(t, "after one Close", names(), []string{"a2 false", "b1 false", "b3 true", "c4 false"})
		a.Close()
		b.Close()
		want(t, "after three", names(), []string{"a2 true", "b1 true", "c4 false"})
		if _, ok := m.Lookup(3); ok {
			t.Error("Lookup(3): got a subscription, want none")
		}
		c.Close()
		if s := open("d"); s.Close() != nil || len(m.Snapshots()) != 2 {
			t.Errorf("got %v, want two", names())
		}
	})
}

// Nothing of the Monitor runs on if the context ends and Close is never called: otherwise the bubble
// does not end.
func TestMonitorEndsWithTheLastSubscription(t *testing.T) {
	m := &client.Monitor{Keep: -1}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := client.Subscribe(ctx, script(), &client.Options{Monitor: m}); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if all := m.Snapshots(); len(all) != 0 {
			t.Errorf("got %d, want none kept", len(all))
		}
	})
}

// Several goroutines start, end and watch subscriptions; for the race detector.
func TestMonitorIsConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &client.Monitor{Keep: 5}
		done := make(chan struct{})
		for i := range 4 {
			go func() {
				defer func() { done <- struct{}{} }()
				for range 20 {
					sub := subscribe(t, script(events("1", "2", "3"), steps(mock.Drop(), mock.Pause(15*time.Second), mock.Complete())), &client.Options{Name: fmt.Sprint(i), Monitor: m})
					data(t, sub, 0)
					sub.Close()
				}
			}()
		}
		for running := 4; running > 0; {
			select {
			case <-done:
				running--
			case <-time.After(time.Second):
			}
			for _, s := range m.Snapshots() {
				m.Lookup(s.ID)
			}
			m.Ready()
			m.Healthy()
		}
		if n := len(m.Snapshots()); n != 5 {
			t.Errorf("got %d, want 5 kept", n)
		}
	})
}

// The goroutine profile shows by name where a consumer is stuck.
func TestGoroutinesHaveTheNameAsLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		sub := subscribe(t, script(events("1")), &client.Options{Name: "stuck orders", Monitor: m})
		defer sub.Close()
		stuck := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- sub.Process(ctx, func(ctx context.Context, _ client.Event) error {
				if name, ok := pprof.Label(ctx, "subscription"); !ok || name != "stuck orders" {
					t.Errorf("the handler's context: got the label %q, want the name", name)
				}
				<-stuck
				return nil
			}, nil)
		}()
		synctest.Wait()
		var profile bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(profile.String(), `# labels: {"subscription":"stuck orders"}`); n < 2 {
			t.Errorf("got %d groups of goroutines with the label, want the worker and the loop:\n%s", n, &profile)
		}
		close(stuck)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// What a Monitor keeps of a subscription with the worst of histories is less than 4 KiB.
func TestMonitorMemory(t *testing.T) {
	const n = 200
	heap := func(m *client.Monitor) (size uint64) {
		synctest.Test(t, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range n {
				tries := 0
				feed := refusing(func() error {
					tries++
					return errors.New(fmt.Sprint(i, tries) + strings.Repeat("x", 500))
				})
				sub := subscribe(t, feed, &client.Options{Name: fmt.Sprint(i), Monitor: m})
				defer sub.Close()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			runtime.GC()
			runtime.ReadMemStats(&after)
			size = after.HeapAlloc - before.HeapAlloc
		})
		return size
	}
	heap(new(client.Monitor)) // what is allocated only once
	m := new(client.Monitor)
	without, with := heap(nil), heap(m)
	if each := (int64(with) - int64(without)) / n; each < 2048 || each > 4096 {
		t.Errorf("got %d bytes for a subscription, want 2 to 4 KiB", each)
	} else {
		t.Logf("%d bytes for a subscription, which takes %d without", each, without/n)
	}
}
