package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A flood is a subscription whose feed and consumer are the test.
type flood struct {
	*client.Subscription
	t       *testing.T
	feed    chanFeed
	dropped []string // by Trace.Dropped
	gaps    []string // by Trace.Gap
}

// flooded runs f with a subscription to a feed without events, in a bubble. Data, ID and token of an
// event are the same. Its key is its first letter.
func flooded(t *testing.T, o client.Options, f func(*flood)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fl := &flood{t: t, feed: make(chanFeed)}
		if o.Overflow == client.OverflowLatest && o.KeyOf == nil {
			o.KeyOf = firstLetter
		}
		o.Trace = &client.Trace{
			Dropped: func(ev client.Event) { fl.dropped = append(fl.dropped, ev.ID) },
			Gap:     func(g client.Gap) { fl.gaps = append(fl.gaps, string(g.Reason)) },
		}
		fl.Subscription = subscribe(t, fl.feed, &o)
		defer fl.Close()
		f(fl)
		if s := fl.Stats(); s.Dropped != uint64(len(fl.dropped)) || s.Gaps != uint64(len(fl.gaps)) || s.Buffered > max(o.Buffer, 1) {
			t.Errorf("Stats: got %d dropped, %d gaps and %d buffered, want %d, %d and at most %d", s.Dropped, s.Gaps, s.Buffered, len(fl.dropped), len(fl.gaps), o.Buffer)
		}
	})
}

func firstLetter(ev client.Event) string { return string(ev.Data[:1]) }

// send sends events, and fails if the subscription does not read them.
func (f *flood) send(ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		f.message(transport.Message{Data: []byte(id), ID: id, Token: id})
	}
}

func (f *flood) message(m transport.Message) {
	f.t.Helper()
	select {
	case f.feed <- m:
	case <-time.After(time.Second):
		f.t.Fatalf("%s: the feed is not read", m.Data)
	}
	synctest.Wait()
}

func (f *flood) position(token string) {
	f.message(transport.Message{Kind: decode.KindPosition, Token: token})
}

// next takes an event, without an Ack.
func (f *flood) next() client.Event {
	f.t.Helper()
	ev, err := f.Next(within(f.t, time.Second))
	if err != nil {
		f.t.Fatal(err)
	}
	return ev
}

// expect takes events and acknowledges them. It compares their data, gaps and numbers.
func (f *flood) expect(events ...string) {
	f.t.Helper()
	var got []string
	for range events {
		ev := f.next()
		ev.Ack()
		got = append(got, shown(ev))
	}
	want(f.t, "events", got, events)
}

// shown returns the data of an event, with its Gap, CaughtUp and Replaced.
func shown(ev client.Event) string {
	text := string(ev.Data)
	if g := ev.Gap; g != nil {
		text += fmt.Sprintf(" (%s %s-%s: %d)", g.Reason, g.From, g.To, g.Missed)
	}
	if ev.CaughtUp {
		text += " caught up"
	}
	if ev.Replaced > 0 {
		text += fmt.Sprintf(" x%d", ev.Replaced)
	}
	return text
}

func TestDropNewest(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowDropNewest, Buffer: 3}, func(f *flood) {
		f.send("1", "2", "3", "4", "5", "6")
		f.expect("1")
		f.send("7", "8")
		f.expect("2", "3", "7 (overflow 3-7: 3)")
		f.send("9")
		f.expect("9 (overflow 7-9: 1)")
		want(f.t, "Trace.Dropped", f.dropped, []string{"4", "5", "6", "8"})
		want(f.t, "Trace.Gap", f.gaps, []string{"overflow", "overflow"})
		if s := f.Stats(); s.Received != 9 || s.Acked != 5 {
			t.Errorf("Stats: got %d received and %d acked, want 9 and 5", s.Received, s.Acked)
		}
	})
}

func TestDropOldest(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowDropOldest, Buffer: 3}, func(f *flood) {
		f.send("1", "2", "3", "4", "5", "6")
		f.expect("4 (overflow -4: 3)")
		first := f.next()
		f.send("7", "8", "9")
		f.expect("8 (overflow 5-8: 2)")
		first.Ack()
		f.expect("9")
		want(f.t, "Trace.Dropped", f.dropped, []string{"1", "2", "3", "6", "7"})
		want(f.t, "Trace.Gap", f.gaps, []string{"overflow", "overflow"})
	})
}

// What consumers have taken is never dropped. If they have taken everything, the new event is the
// oldest one that waits.
func TestDropOldestKeepsWhatIsTaken(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowDropOldest, Buffer: 2}, func(f *flood) {
		f.send("1", "2")
		first, second := f.next(), f.next()
		f.send("3", "4")
		second.Nack(client.RetryAfter(time.Second, errBusy))
		f.send("5")
		first.Ack()
		f.send("6")
		f.expect("6 (overflow 2-6: 3)")
		time.Sleep(time.Second)
		f.expect("2")
		want(f.t, "Trace.Dropped", f.dropped, []string{"3", "4", "5"})
	})
}

func TestLatest(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowLatest, Buffer: 10}, func(f *flood) {
		f.send("a1", "b2", "a3", "c4", "a5", "b6")
		a := f.next()
		f.send("a7", "a8", "c9")
		f.expect("b6 x1", "c9 x1", "a8 x1")
		if a.Ack(); shown(a) != "a5 x2" {
			t.Errorf("got %s, want a5 x2", shown(a))
		}
		want(f.t, "Trace.Dropped", f.dropped, []string{"a1", "a3", "b2", "a7", "c4"})
	})
}

// A key that changes more often than a consumer can follow is delivered in its turn.
func TestLatestStarvesNoKey(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowLatest, Buffer: 10}, func(f *flood) {
		seen := map[string]int{}
		f.send("a0", "b0", "c0")
		for i := range 30 {
			for range 3 {
				f.send(fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i))
			}
			ev := f.next()
			ev.Ack()
			seen[firstLetter(ev)]++
		}
		if seen["a"] != 10 || seen["b"] != 10 || seen["c"] != 10 {
			t.Errorf("got %v, want 10 of each", seen)
		}
	})
}

// With OverflowLatest, an event that can replace none waits for space. One without a key is never
// replaced.
func TestLatestBlocks(t *testing.T) {
	key := func(ev client.Event) string { return strings.Trim(firstLetter(ev), "-") }
	flooded(t, client.Options{Overflow: client.OverflowLatest, Buffer: 3, KeyOf: key}, func(f *flood) {
		f.send("-1", "-2", "a3", "a4", "b5")
		select {
		case f.feed <- transport.Message{}:
			t.Error("the feed is read although the buffer is full of events that cannot be replaced")
		case <-time.After(time.Hour):
		}
		if s := f.Stats(); s.State != client.StateFull || s.Buffered != 3 {
			t.Errorf("got %v with %d buffered, want %v with 3", s.State, s.Buffered, client.StateFull)
		}
		f.expect("-1", "-2", "a4 x1", "b5")
	})
}

// An event that is after a loss never takes a place before it, and one that reports the end of the
// initial state takes none before an event of that state.
func TestLatestKeepsThePlaceOfAGap(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowLatest, Buffer: 10}, func(f *flood) {
		f.send("a1", "b2")
		f.message(transport.Message{Data: []byte("a3"), Gap: &client.Gap{Reason: transport.GapNotice}})
		f.send("b4", "a5")
		f.message(transport.Message{Data: []byte("b6"), CaughtUp: true})
		f.send("a7", "b8")
		f.expect("a1", "b2", "a7 (notice b2-b2: 0) x2", "b4", "b8 caught up x1")
		if !f.Stats().CaughtUp {
			t.Error("CaughtUp: got false, want true")
		}
	})
}

// What is in the buffer is delivered before the error, and a restart resumes before the event that
// had no space. Events that need none do not end the subscription.
func TestOverflowStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "2", "skip", "3"), steps(mock.Complete()))
		o := named(new(mock.Store))
		o.Overflow, o.Buffer, o.Dedupe = client.OverflowStop, 2, 10
		o.Skip = func(ev client.Event) bool { return ev.ID == "skip" }
		sub := subscribe(t, feed, o)
		synctest.Wait()
		got, err := data(t, sub, 0)
		want(t, "events", got, []string{"data 1", "data 2"})
		var stop *client.StopError
		if !errors.As(err, &stop) || !errors.Is(err, client.ErrOverflow) {
			t.Errorf("got %v, want a StopError of ErrOverflow", err)
		}
		if s := sub.Stats(); s.Dropped != 0 || s.Gaps != 0 || s.State != client.StateEnded {
			t.Errorf("Stats: got %+v, want the end and no loss", s)
		}
		sub.Close()
		sub = subscribe(t, feed, o)
		got, err = data(t, sub, 0)
		sub.Close()
		if want(t, "events", got, []string{"data 3"}); err != nil {
			t.Error(err)
		}
	})
}

func TestOverflowIsValidated(t *testing.T) {
	hook := &webhook.Receiver{Provider: &provider.Provider{Name: "test", Scheme: provider.Unsigned{}}}
	for _, c := range []struct {
		src     transport.Source
		o       client.Options
		problem string
	}{
		{deaf{}, client.Options{Overflow: "drop"}, `Options.Overflow: "drop" is none of the policies`},
		{deaf{}, client.Options{Overflow: client.OverflowLatest}, "Options.KeyOf: is required"},
		{deaf{}, client.Options{Overflow: client.OverflowStop, KeyOf: firstLetter}, "Options.KeyOf: has no effect"},
		{hook, client.Options{Overflow: client.OverflowDropNewest}, "Options.Overflow: remove it"},
		{hook, client.Options{Overflow: client.OverflowLatest, KeyOf: firstLetter}, "Options.Overflow: remove it"},
	} {
		_, err := client.Subscribe(t.Context(), c.src, &c.o)
		var config *client.ConfigError
		if !errors.As(err, &config) || len(config.Problems) != 1 || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%+v: got %v, want one problem: %s", c.o, err, c.problem)
		}
	}
}

// The stored position never passes an event that is not acknowledged, nor a loss before the event
// that reports it. Dropped events come again after a restart in between.
func TestCheckpointDoesNotPassADrop(t *testing.T) {
	for policy, steps := range map[client.Overflow][]string{
		// stored after: nothing; position p; the first event; the event with the gap
		client.OverflowDropOldest: {"", "", "p", "6"},
		client.OverflowDropNewest: {"", "", "3", "q2"},
	} {
		store := new(mock.Store)
		flooded(t, client.Options{Name: "n", Store: store, Overflow: policy, Buffer: 3}, func(f *flood) {
			stored := func(i int) {
				f.t.Helper()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := readRecord(t, store).Token; got != steps[i] {
					t.Errorf("%s: stored %q after step %d, want %q", policy, got, i, steps[i])
				}
			}
			f.send("1")
			first := f.next()
			f.position("p")
			f.send("2", "3")
			f.send("4", "5", "6")
			f.position("q")
			stored(0)
			second := f.next()
			third := f.next()
			third.Ack()
			stored(1)
			first.Ack()
			if policy == client.OverflowDropOldest { // 5 (with the gap) and 6 are in hand
				stored(2)
				want(f.t, "events", []string{shown(second), shown(third)}, []string{"5 (overflow p-5: 3)", "6"})
			}
			second.Ack()
			if policy == client.OverflowDropNewest {
				stored(2)
				f.send("7")
				f.position("q2")
				f.expect("7 (overflow 3-7: 3)")
			}
		})
		if got := readRecord(t, store).Token; policy == client.OverflowDropOldest && got != "q" || policy == client.OverflowDropNewest && got != "q2" {
			t.Errorf("%s: stored %q at the end", policy, got)
		}
	}
}

// With OverflowLatest, the position after an event in an earlier place is stored only once every event
// before its own place is acknowledged.
func TestCheckpointWithLatest(t *testing.T) {
	store := new(mock.Store)
	flooded(t, client.Options{Name: "n", Store: store, Overflow: client.OverflowLatest, Buffer: 10}, func(f *flood) {
		for _, s := range []struct{ take, token string }{{"a4 x1", "a1"}, {"b2", "b2"}, {"c5 x1", "c5"}} {
			if s.take == "a4 x1" {
				f.send("a1", "b2", "c3", "a4", "c5")
			}
			f.expect(s.take)
			time.Sleep(2 * time.Second)
			if got := readRecord(t, store).Token; got != s.token {
				t.Errorf("stored %q after %s, want %q", got, s.take, s.token)
			}
		}
	})
}

func TestOverflowByBytes(t *testing.T) {
	for policy, expected := range map[client.Overflow][]string{
		client.OverflowDropOldest: {"b22 (overflow -b22: 1)", "c3333"},
		client.OverflowDropNewest: {"a1111", "b22", "d (overflow b22-d: 1)"},
		client.OverflowLatest:     {"a1111", "b22"},
	} {
		flooded(t, client.Options{Overflow: policy, Buffer: 100, BufferBytes: 9}, func(f *flood) {
			f.send("a1111", "b22", "c3333")
			if policy == client.OverflowDropNewest {
				f.send("d")
			}
			f.expect(expected...)
		})
	}
	flooded(t, client.Options{Overflow: client.OverflowLatest, Buffer: 100, BufferBytes: 9}, func(f *flood) {
		f.send("a1", "b22", "a3333", "b444444") // the last one does not fit into its place
		f.expect("a3333 x1", "b22", "b444444")
	})
}

// The repetition of a dropped event is a duplicate: its loss was reported in its place.
func TestOverflowAndDedupe(t *testing.T) {
	for policy, expected := range map[client.Overflow][]string{
		client.OverflowDropOldest: {"a3 (overflow -a3: 2)", "b4", "c5"},
		client.OverflowDropNewest: {"a1", "b2", "c5 (overflow b2-c5: 2)"},
		client.OverflowLatest:     {"a3 x1", "b4 x1", "c5"},
	} {
		flooded(t, client.Options{Overflow: policy, Buffer: 2, Dedupe: 100}, func(f *flood) {
			f.send("a1", "b2", "a3", "b4", "b4")
			f.expect(expected[:2]...)
			f.send("a1", "a3", "b4", "c5")
			f.expect(expected[2])
			if s := f.Stats(); s.Duplicates != 4 || s.Dropped != 2 {
				t.Errorf("%s: got %d duplicates and %d dropped, want 4 and 2", policy, s.Duplicates, s.Dropped)
			}
		})
	}
}

// An event that was dropped is no jump of the numbers. A jump beside it is reported too.
func TestOverflowAndSequence(t *testing.T) {
	number := func(ev client.Event) (string, uint64, bool) {
		var n uint64
		fmt.Sscan(ev.ID, &n)
		return "", n, true
	}
	for policy, expected := range map[client.Overflow][]string{
		client.OverflowDropOldest: {"4 (overflow -4: 3)", "7 (sequence jump 4-7: 2)", "8"},
		client.OverflowDropNewest: {"1", "2", "8 (sequence jump 2-8: 5)"},
	} {
		flooded(t, client.Options{Overflow: policy, Buffer: 2, SequenceOf: number}, func(f *flood) {
			f.send("1", "2", "3", "4")
			if policy == client.OverflowDropOldest {
				f.send("5")
				f.expect("4 (overflow -4: 3)", "5")
				return
			}
			f.send("7")
			f.expect(expected[:2]...)
			f.send("8")
			f.expect(expected[2])
		})
	}
	flooded(t, client.Options{Overflow: client.OverflowLatest, Buffer: 9, SequenceOf: number, KeyOf: func(client.Event) string { return "k" }}, func(f *flood) {
		f.send("1", "2", "4", "5")
		f.expect("2 x1", "5 (sequence jump 2-4: 1) x1")
	})
}

// Events that wait for their key in Process are still dropped and replaced, and the events of other
// keys are handled meanwhile.
func TestOverflowAndProcess(t *testing.T) {
	for policy, expected := range map[client.Overflow]string{
		client.OverflowDropOldest: "[a1 b1 a9 (overflow b1-a9: 7) b2]",
		client.OverflowLatest:     "[a1 b1 a9 x7 b2]",
	} {
		flooded(t, client.Options{Overflow: policy, Buffer: 3}, func(f *flood) {
			var mu sync.Mutex
			var begun []string
			release := make(chan struct{})
			handle := func(_ context.Context, ev client.Event) error {
				mu.Lock()
				begun = append(begun, shown(ev))
				mu.Unlock()
				if string(ev.Data) == "a1" {
					<-release
				}
				return nil
			}
			ctx, stop := context.WithCancel(f.t.Context())
			done := make(chan error)
			go func() {
				done <- f.Process(ctx, handle, &client.ProcessOptions{Workers: 3, KeyOf: firstLetter})
			}()
			f.send("a1", "b1")
			for i := range 8 {
				f.send(fmt.Sprint("a", i+2))
			}
			close(release)
			synctest.Wait()
			f.send("b2")
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := fmt.Sprint(begun); got != expected { // a1 is in hand, b1 after it: one place is left
				t.Errorf("%s: got %s, want %s", policy, got, expected)
			}
		})
	}
}

// A refused event blocks its key, and the events of the key that wait meanwhile are replaced. The
// workers end with the feed, whatever waits for what.
func TestProcessWithAQueueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a1"), mock.Pause(time.Second), mock.Event("2", "a2"), mock.Event("3", "b3"),
			mock.Event("4", "a4"), mock.Pause(time.Millisecond), mock.Event("5", "b5"), mock.Complete())
		sub := subscribe(t, feed, &client.Options{Overflow: client.OverflowLatest, KeyOf: firstLetter})
		defer sub.Close()
		var mu sync.Mutex
		var got []string
		err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprint(shown(ev), "#", ev.Attempt))
			if ev.ID == "1" && ev.Attempt < 3 {
				return client.RetryAfter(10*time.Second, errBusy)
			}
			return nil
		}, &client.ProcessOptions{Workers: 4, KeyOf: firstLetter})
		if want(t, "events", got, []string{"a1#1", "b3#1", "b5#1", "a1#2", "a1#3", "a4 x1#1"}); err != nil {
			t.Error(err)
		}
	})
}

// KeyOf of Process panics on an event of the queue.
func TestProcessKeyPanicsOnAQueuedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a1"), mock.Event("2", "b2"), mock.Complete())
		sub := subscribe(t, feed, &client.Options{Overflow: client.OverflowDropOldest, DeadLetter: func(context.Context, client.Event, error) error { return nil }, MaxAttempts: 1})
		defer sub.Close()
		handled := 0
		err := sub.Process(t.Context(), func(context.Context, client.Event) error { handled++; return nil },
			&client.ProcessOptions{KeyOf: func(ev client.Event) string {
				if ev.Attempt != 1 {
					t.Errorf("KeyOf: got attempt %d, want 1", ev.Attempt)
				}
				if ev.ID == "1" {
					panic("no key")
				}
				return ev.ID
			}})
		if s := sub.Stats(); err != nil || handled != 1 || s.DeadLettered != 1 {
			t.Errorf("got %v, %d handled and %d dead-lettered, want one of each", err, handled, s.DeadLettered)
		}
	})
}

// A policy that does not wait for space reads the connection however slow the consumer is, so it is
// never parked. Pause still does that, and drops nothing.
func TestOverflowNeverParks(t *testing.T) {
	for _, policy := range []client.Overflow{client.OverflowDropOldest, client.OverflowDropNewest, client.OverflowLatest} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := &ticker{tick: time.Second, start: time.Now(), patience: 5 * time.Second}
				o := &client.Options{Overflow: policy, Buffer: 3}
				if policy == client.OverflowLatest {
					o.KeyOf = func(client.Event) string { return "k" }
				}
				sub := subscribe(t, feed, o)
				defer sub.Close()
				time.Sleep(time.Hour + time.Second/2) // between two events
				if s := sub.Stats(); feed.opens != 1 || s.State != client.StateLive || s.Dropped < 3000 {
					t.Errorf("got %d connections, %v and %d dropped, want one that is live", feed.opens, s.State, s.Dropped)
				}
				sub.Pause()
				before := sub.Stats().Dropped
				time.Sleep(time.Minute)
				if s := sub.Stats(); feed.open() != 0 || s.Dropped > before {
					t.Errorf("got %d open connections and %d dropped while paused, want 0 and 0", feed.open(), s.Dropped-before)
				}
				sub.Resume()
				time.Sleep(10 * time.Second)
				if s := sub.Stats(); feed.open() != 1 || s.Dropped < before+60 {
					t.Errorf("got %d open connections and %d dropped after Resume, want 1 and more than 60", feed.open(), s.Dropped-before)
				}
			})
		})
	}
}

// Every event of a handover is delivered or dropped once. Both connections are read.
func TestOverflowDuringAHandover(t *testing.T) {
	for _, policy := range []client.Overflow{client.OverflowDropOldest, client.OverflowDropNewest} {
		synctest.Test(t, func(t *testing.T) {
			feed := &ticker{tick: 100 * time.Millisecond, start: time.Now(), life: time.Minute, warning: 20 * time.Second}
			sub := subscribe(t, feed, &client.Options{Overflow: policy, Buffer: 3})
			defer sub.Close()
			next := 1
			for range 200 {
				ev, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if ev.Gap != nil {
					next += int(ev.Gap.Missed)
				}
				if n := number(ev); n != next {
					t.Fatalf("%s: got event %d, want %d: %v", policy, n, next, ev.Gap)
				}
				next++
				time.Sleep(time.Second)
				ev.Ack()
			}
			if s := sub.Stats(); s.Connections < 3 || s.Dropped < 1000 {
				t.Errorf("got %d connections and %d dropped, want handovers and drops", s.Connections, s.Dropped)
			}
		})
	}
}

// The flag of a dropped event is not lost, and CaughtUp does not wait for it.
func TestOverflowAndCaughtUp(t *testing.T) {
	for policy, expected := range map[client.Overflow][]string{
		client.OverflowDropOldest: {"d (overflow -d: 3) caught up", "e"},
		client.OverflowDropNewest: {"a", "b", "f (overflow b-f: 3) caught up"},
	} {
		flooded(t, client.Options{Overflow: policy, Buffer: 2}, func(f *flood) {
			f.send("a", "b")
			f.message(transport.Message{Data: []byte("c"), ID: "c", Token: "c", CaughtUp: true})
			f.send("d", "e")
			if policy == client.OverflowDropNewest {
				f.expect("a", "b")
				f.send("f")
				expected = expected[2:]
			}
			if err := f.CaughtUp(within(f.t, time.Second)); err != nil {
				t.Errorf("%s: CaughtUp: got %v although the initial state was handled or dropped", policy, err)
			}
			f.expect(expected...)
		})
	}
}

// A Gap of a dropped event moves to the next one, with the sum of both.
func TestOverflowKeepsOtherGaps(t *testing.T) {
	for policy, expected := range map[client.Overflow]string{
		client.OverflowDropOldest: "3 (notice 1-3: 6)",
		client.OverflowDropNewest: "3 (notice 1-3: 6)",
	} {
		flooded(t, client.Options{Overflow: policy, Buffer: 2}, func(f *flood) {
			f.send("0", "1")
			f.expect("0")
			one := f.next()
			if policy == client.OverflowDropNewest {
				f.send("1")
			}
			f.message(transport.Message{Data: []byte("2"), ID: "2", Token: "2", Gap: &client.Gap{Reason: transport.GapNotice, Missed: 5}})
			if policy == client.OverflowDropNewest {
				f.expect("1")
			}
			f.send("3")
			if policy == client.OverflowDropNewest {
				one.Ack()
				f.send("3")
				expected = "3 (notice 1-3: 7)"
				f.expect(expected)
				return
			}
			f.expect(expected)
		})
	}
}

// A batch that waits for more events is delivered when the buffer has no more space, before anything
// is dropped.
func TestBatchesDoNotWaitWhileEventsAreDropped(t *testing.T) {
	for _, policy := range []client.Overflow{client.OverflowDropOldest, client.OverflowDropNewest} {
		flooded(t, client.Options{Overflow: policy, Buffer: 4}, func(f *flood) {
			f.send("1")
			refused := f.next()
			refused.Nack(client.RetryAfter(time.Hour, errBusy))
			go f.send("2", "3", "4")
			start := time.Now()
			for batch := range f.Batches(4, time.Minute) {
				if took := time.Since(start); len(batch) != 3 || took != 0 {
					t.Errorf("%s: got a batch of %d after %v, want 3 at once", policy, len(batch), took)
				}
				break
			}
			if len(f.dropped) > 0 {
				t.Errorf("%s: got %v dropped, want none", policy, f.dropped)
			}
		})
	}
}

// Events of one read, which are published together.
func TestOverflowWithinOneRead(t *testing.T) {
	for policy, expected := range map[client.Overflow][]string{
		client.OverflowDropOldest: {"48 (overflow -48: 48)", "49", "50"},
		client.OverflowDropNewest: {"1", "2", "3"},
		client.OverflowLatest:     {"50 x49"},
	} {
		flooded(t, client.Options{Overflow: policy, Buffer: 3, KeyOf: map[bool]func(client.Event) string{true: func(client.Event) string { return "k" }}[policy == client.OverflowLatest]}, func(f *flood) {
			if policy == client.OverflowDropOldest {
				expected[0] = "48 (overflow -48: 47)"
			}
			for i := range 50 {
				id := fmt.Sprint(i + 1)
				f.message(transport.Message{Data: []byte(id), ID: id, Token: id, More: i < 49})
			}
			f.expect(expected...)
		})
	}
}

// Drain waits for what is left, and a feed that ends with a loss that no event reports ends with it.
func TestOverflowAtTheEnd(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowDropOldest, Buffer: 2}, func(f *flood) {
		f.send("1", "2", "3")
		done := make(chan error)
		go func() { done <- f.Drain(f.t.Context()) }()
		synctest.Wait()
		f.expect("2 (overflow -2: 1)", "3")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := f.Next(f.t.Context()); err != io.EOF {
			t.Errorf("got %v, want io.EOF", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1", "2", "3"), steps(mock.Complete())), &client.Options{Overflow: client.OverflowDropNewest, Buffer: 1})
		defer sub.Close()
		synctest.Wait()
		got, err := data(t, sub, 0)
		want(t, "events", got, []string{"data 1"})
		var gap *client.Gap
		if !errors.As(err, &gap) || gap.Reason != transport.GapOverflow || gap.Missed != 2 {
			t.Errorf("got %v, want a Gap of 2 dropped events", err)
		}
	})
}

// Backfill is not asked for what was dropped, but for a loss beside it. What it delivers waits for
// space.
func TestOverflowAndBackfill(t *testing.T) {
	var asked []string
	o := client.Options{Overflow: client.OverflowDropNewest, Buffer: 2, Backfill: func(_ context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
		asked = append(asked, fmt.Sprintf("%s %s", g.Reason, g.From))
		if g.Reason != transport.GapNotice {
			return "", nil
		}
		for _, id := range []string{"x", "y", "z"} {
			if err := deliver(transport.Message{Data: []byte(id), ID: id}); err != nil {
				return "", err
			}
		}
		time.Sleep(time.Second / 10) // the consumer makes room for 6, which would be dropped otherwise
		return "", nil
	}}
	flooded(t, o, func(f *flood) {
		f.send("1", "2", "3", "4")
		f.feed <- transport.Message{Data: []byte("6"), ID: "6", Token: "6", Gap: &client.Gap{Reason: transport.GapNotice}}
		time.Sleep(time.Minute)
		f.expect("1 caught up", "2", "x (overflow 2-4: 2)", "y", "z", "6")
		want(f.t, "Backfill", asked, []string{"start ", "no token ", "notice 4"})
	})
}

// Drops are logged ten times, and then at growing intervals while they last.
func TestDropsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		feed := &ticker{tick: time.Second, start: time.Now()}
		sub := subscribe(t, feed, &client.Options{Overflow: client.OverflowDropOldest, Buffer: 3, Logger: log.logger()})
		defer sub.Close()
		time.Sleep(10*time.Minute + time.Second/2)
		s := sub.Stats()
		sub.Close()
		n := 0
		for _, l := range log.lines {
			if l.text == "events may be missing" && l.level == slog.LevelWarn && l.attrs["reason"].String() == "overflow" {
				n++
			}
		}
		if n < 12 || n > 14 || s.Missed != 597 || s.Gaps != 1 {
			t.Errorf("got %d records, %d missed and %d gaps, want some ten records of 597 events in one gap", n, s.Missed, s.Gaps)
		}
	})
}

// The next event may have a Gap of its own.
func TestDropBeforeAGap(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowDropOldest, Buffer: 2}, func(f *flood) {
		f.send("1")
		f.message(transport.Message{Data: []byte("2"), Token: "2", Gap: &client.Gap{Reason: transport.GapNotice, Missed: 5}})
		f.send("3")
		f.expect("2 (notice -2: 6)", "3")
	})
}

// An event that waits for Resume is dropped then, if there is no space.
func TestOverflowAfterAPause(t *testing.T) {
	for _, policy := range []client.Overflow{client.OverflowDropOldest, client.OverflowDropNewest} {
		flooded(t, client.Options{Overflow: policy, Buffer: 2}, func(f *flood) {
			f.send("1", "2")
			f.Pause()
			f.send("3")
			time.Sleep(time.Minute)
			if len(f.dropped) > 0 {
				t.Errorf("%s: got %v dropped while paused, want none", policy, f.dropped)
			}
			f.Resume()
			f.send("4")
			if len(f.dropped) != 2 {
				t.Errorf("%s: got %v dropped after Resume, want two", policy, f.dropped)
			}
		})
	}
}

// CaughtUp returns when the last event that it waits for is dropped.
func TestCaughtUpAfterADrop(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowDropOldest, Buffer: 2}, func(f *flood) {
		f.send("1")
		f.message(transport.Message{Kind: decode.KindPosition, Token: "p", CaughtUp: true})
		done := make(chan error, 1)
		go func() { done <- f.CaughtUp(f.t.Context()) }()
		f.send("2", "3")
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("CaughtUp waits although the initial state was dropped")
		}
		f.expect("2 (overflow -2: 1) caught up", "3")
	})
}

// A worker of Process that can claim none of the events in the queue does not keep them from a loop.
func TestProcessBesideALoopOverAQueue(t *testing.T) {
	for _, loopFirst := range []bool{false, true} {
		flooded(t, client.Options{Overflow: client.OverflowDropOldest, Buffer: 10}, func(f *flood) {
			ctx, stop := context.WithCancel(f.t.Context())
			processed, taken := make(chan error, 1), make(chan string, 2)
			loop := func() {
				for range 2 {
					ev, err := f.Next(within(f.t, time.Minute))
					ev.Ack()
					taken <- fmt.Sprint(ev.ID, err)
				}
			}
			f.send("a1")
			go func() {
				processed <- f.Process(ctx, func(_ context.Context, ev client.Event) error {
					return client.RetryAfter(time.Hour, errBusy)
				}, &client.ProcessOptions{Workers: 2, KeyOf: firstLetter})
			}()
			synctest.Wait() // the key a is blocked
			go loop()
			synctest.Wait()
			if loopFirst {
				f.send("a2")
				f.send("a3")
			} else {
				f.message(transport.Message{Data: []byte("a2"), ID: "a2", Token: "a2", More: true})
				f.send("a3")
			}
			if first, second := <-taken, <-taken; first != "a2<nil>" || second != "a3<nil>" {
				f.t.Errorf("the loop got %s and %s, want a2 and a3", first, second)
			}
			stop()
			if err := <-processed; err != nil {
				f.t.Error(err)
			}
		})
	}
}

// KeyOf of Process calls runtime.Goexit on an event of the queue.
func TestProcessKeyExitsOnAQueuedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(feedOf("a1", "a2", "b1"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Overflow: client.OverflowDropOldest})
		defer sub.Close()
		var handled []string
		exited := false
		err := sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
			handled = append(handled, fmt.Sprint(ev.ID, "#", ev.Attempt))
			return nil
		}, &client.ProcessOptions{KeyOf: func(ev client.Event) string {
			if ev.ID == "a2" && !exited {
				exited = true
				runtime.Goexit()
			}
			return ev.ID
		}})
		if want(t, "events", handled, []string{"a1#1", "b1#1", "a2#2"}); err != nil {
			t.Error(err)
		}
	})
}

// Idle workers of Process are woken for each event of a batch, and for one that another consumer has
// refused.
func TestProcessOverAQueueWakesItsWorkers(t *testing.T) {
	flooded(t, client.Options{Overflow: client.OverflowDropOldest, Buffer: 10}, func(f *flood) {
		f.send("c1")
		refused := f.next()
		d := &diary{start: time.Now()}
		ctx, stop := context.WithCancel(f.t.Context())
		processed := make(chan error, 1)
		go func() {
			processed <- f.Process(ctx, func(_ context.Context, ev client.Event) error {
				d.add("%s", ev.ID)
				time.Sleep(time.Hour)
				return nil
			}, &client.ProcessOptions{Workers: 3, KeyOf: firstLetter})
		}()
		synctest.Wait()
		refused.Nack(client.RetryAfter(time.Second, errBusy))
		time.Sleep(2 * time.Second)
		f.message(transport.Message{Data: []byte("a1"), ID: "a1", Token: "a1", More: true})
		f.send("b1")
		time.Sleep(time.Minute)
		stop()
		if err := <-processed; err != nil {
			f.t.Error(err)
		}
		got := d.of("")
		slices.Sort(got)
		want(f.t, "events", got, []string{"1s c1", "2s a1", "2s b1"})
	})
}
