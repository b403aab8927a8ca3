package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

func TestStateIsTextInJSON(t *testing.T) {
	for s := client.StateConnecting; s <= client.StatePaused; s++ {
		text, err := json.Marshal(client.Stats{State: s})
		if err != nil || !strings.Contains(string(text), `"State":"`+s.String()+`"`) {
			t.Errorf("Stats in JSON: got %s, %v, want the state %q", text, err, s)
		}
		var back struct{ State client.State }
		if err := json.Unmarshal(text, &back); err != nil || back.State != s {
			t.Errorf("Unmarshal(%s): got %v, %v, want %v", text, back.State, err, s)
		}
	}
	if text, err := json.Marshal(client.State(-1)); err == nil {
		t.Errorf("Marshal of an unknown state: got %s, want an error", text)
	}
	if s := client.State(99).String(); s != "State(99)" {
		t.Errorf("String: got %q, want State(99)", s)
	}
	var s client.State
	for _, text := range []string{`"lively"`, `3`, `""`} {
		if json.Unmarshal([]byte(text), &s) == nil {
			t.Errorf("Unmarshal(%s): got %v, want an error", text, s)
		}
	}
}

// Stats reports why there is no connection, since when, and when the next attempt starts.
func TestStatsOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		at := func(d time.Duration) time.Time { return start.Add(d) }
		feed := script(events("1"), steps(mock.Pause(time.Minute), mock.Drop(), unavailable, unavailable), events("2"), steps(mock.Pause(time.Hour)), events("3"))
		sub := subscribe(t, feed, &client.Options{Retry: retry.Policy{Jitter: -1}})
		defer sub.Close()
		data(t, sub, 1)
		if s := sub.Stats(); s.State != client.StateLive || !s.Since.Equal(start) || s.Err != nil || !s.Outage.IsZero() || !s.LastErrTime.IsZero() || s.Disconnects != nil {
			t.Errorf("live: got %+v, want no failure", s)
		}
		time.Sleep(5 * time.Minute)
		s := sub.Stats()
		var status interface{ StatusCode() int }
		if !errors.As(s.Err, &status) || status.StatusCode() != 503 || s.LastErr != s.Err || s.LastErrClass != retry.ClassServer {
			t.Errorf("backing off: got the error %v, %v, class %v, want status 503", s.Err, s.LastErr, s.LastErrClass)
		}
		if s.State != client.StateBackingOff || !s.Outage.Equal(at(time.Minute)) || s.OutageFailures != 2 || s.Since.Sub(start) < time.Minute ||
			s.NextAttempt.Sub(s.Since) != 10*time.Minute || !s.LastErrTime.Equal(s.Since) {
			t.Errorf("backing off: got %+v, want an outage since 1 min, the next attempt after 10", s)
		}
		data(t, sub, 1)
		s = sub.Stats()
		if s.State != client.StateLive || s.Err != nil || !s.Outage.IsZero() || !s.NextAttempt.IsZero() || s.LastErrClass != retry.ClassServer || s.LastErr == nil {
			t.Errorf("afterwards: got %+v, want live, and the last failure kept", s)
		}
		if fmt.Sprint(s.Disconnects) != "map[network:1 server:2]" || s.Attempts != 4 || s.Connections != 2 || !s.Connected.Equal(s.Since) {
			t.Errorf("afterwards: got %v of %d attempts, %d connections, want 1 network, 2 server, 4, 2", s.Disconnects, s.Attempts, s.Connections)
		}
		synctest.Wait()
		sub.Reconnect()
		synctest.Wait()
		if s := sub.Stats(); len(s.Disconnects) != 2 || s.Err != nil || s.Connections != 3 {
			t.Errorf("after Reconnect: got %+v, want no further failure", s)
		}
	})
}

// A connection that is opened again and again without an event does not end the outage; one that stays
// open for a minute does.
func TestStatsOfAnOutageWithConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		sub := subscribe(t, script(slices.Repeat(steps(mock.Pause(time.Second), mock.Drop()), 10)), &client.Options{Retry: retry.Constant(time.Second)})
		defer sub.Close()
		time.Sleep(20500 * time.Millisecond)
		if s := sub.Stats(); s.State != client.StateLive || s.Outage.Sub(start) != time.Second || s.OutageFailures < 9 {
			t.Errorf("got %+v, want live in an outage", s)
		}
		time.Sleep(time.Minute)
		if s := sub.Stats(); s.State != client.StateLive || !s.Outage.IsZero() || s.OutageFailures != 0 {
			t.Errorf("after a minute: got %+v, want no outage", s)
		}
	})
}

// Stats counts what was received, also between events.
func TestStatsOfAFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		feed := script(steps(mock.Event("1", "12345"), mock.Pause(time.Minute), mock.Event("2", "678"), mock.Pause(time.Minute),
			mock.Keepalive(), mock.Keepalive(), mock.Pause(5*time.Second)), events("3"))
		sub := subscribe(t, feed, &client.Options{EventTime: func(ev client.Event) time.Time {
			if ev.ID == "1" {
				return time.Time{}
			}
			return ev.Received.Add(-time.Second)
		}})
		defer sub.Close()
		synctest.Wait()
		if s := sub.Stats(); s.Lag != 0 || !s.LastEvent.Equal(start) || s.Rate != 1 {
			t.Errorf("got %+v, want one event, and no lag without a time", s)
		}
		time.Sleep(2*time.Minute + time.Second)
		s := sub.Stats()
		if s.Received != 2 || s.ReceivedBytes != 8 || s.Keepalives != 2 || s.Rate != 0 || s.Lag != time.Second {
			t.Errorf("got %+v, want 2 events of 8 bytes, 2 keepalives, no rate, lag 1s", s)
		}
		if s.LastEvent.Sub(start) != time.Minute || s.LastMessage.Sub(start) != 2*time.Minute {
			t.Errorf("got the last event after %v, the last message after %v, want 1m and 2m", s.LastEvent.Sub(start), s.LastMessage.Sub(start))
		}
	})
}

// The rate is that of the last 10 to 20 s, in a burst as well as after it.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var feed []mock.Step
		for i := range 1000 { // 100 s
			feed = append(feed, mock.Event(fmt.Sprint(i+1), "x"), mock.Pause(100*time.Millisecond))
		}
		sub := subscribe(t, script(feed, steps(mock.Pause(time.Minute)), slices.Repeat(steps(mock.Event("", "x"), mock.Pause(time.Second)), 100)), nil)
		defer sub.Close()
		go func() {
			for range sub.Events() {
			}
		}()
		time.Sleep(50 * time.Millisecond)
		for i := range 100 {
			time.Sleep(time.Second)
			if s := sub.Stats(); s.Rate < 9.5 || s.Rate > 10.6 && i > 3 {
				t.Errorf("after %d s: got %v, want 10", i+1, s.Rate)
			}
		}
		time.Sleep(12 * time.Second)
		if s := sub.Stats(); s.Rate != 0 {
			t.Errorf("12 s after the last event: got %v, want 0", s.Rate)
		}
		time.Sleep(90 * time.Second)
		if s := sub.Stats(); s.Rate < 0.9 || s.Rate > 1.11 {
			t.Errorf("later: got %v, want 1", s.Rate)
		}
	})
}

// EventTime is called for the last event of a batch only, and not for what is not delivered.
func TestEventTimeIsCalledOnceForABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batch := &messages{}
		for i := range 10 {
			*batch = append(*batch, transport.Message{ID: fmt.Sprint(i), Data: []byte("x"), More: i != 4 && i != 9})
		}
		var called []string
		sub := subscribe(t, batch, &client.Options{
			Skip:      func(ev client.Event) bool { return ev.ID == "9" },
			EventTime: func(ev client.Event) time.Time { called = append(called, ev.ID); return ev.Received },
		})
		data(t, sub, 0)
		sub.Close()
		want(t, "called", called, []string{"4"})
		all := endless{new(int)}
		calls := 0
		o := &client.Options{Buffer: 4096, EventTime: func(ev client.Event) time.Time { calls++; return ev.Received }}
		sub = subscribe(t, all, o)
		synctest.Wait()
		sub.Close()
		if calls != 16 {
			t.Errorf("4096 events without a wait: got %d calls, want one of 256", calls)
		}
	})
}

// Known losses are counted unless Backfill has repaired them.
func TestStatsOfGaps(t *testing.T) {
	for name, repair := range map[string]bool{"repaired": true, "accepted": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sub := subscribe(t, script(events("1", "2"), steps(mock.Pause(time.Minute)), events("5"), steps(mock.Complete())), &client.Options{
					SequenceOf: func(ev client.Event) (string, uint64, bool) {
						n, err := strconv.ParseUint(ev.ID, 10, 64)
						return "", n, err == nil
					},
					Backfill: func(_ context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
						if !repair || g.Reason != transport.GapSequence {
							return "", client.ErrAcceptGap
						}
						return "", errors.Join(deliver(transport.Message{ID: "3"}), deliver(transport.Message{ID: "4"}))
					}})
				defer sub.Close()
				start := time.Now()
				data(t, sub, 0)
				s := sub.Stats()
				repaired, missed := uint64(1), uint64(0)
				if !repair {
					repaired, missed = 0, 2
				}
				if s.Gaps != 1 || s.Repaired != repaired || s.Missed != missed || s.LastGap.Sub(start) != time.Minute {
					t.Errorf("got %d gaps, %d repaired, %d missed, the last at %v, want 1, %d, %d", s.Gaps, s.Repaired, s.Missed, s.LastGap, repaired, missed)
				}
			})
		})
	}
}

// Since is when the state began, also of those that are above a connection.
func TestStatsSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1", "2", "3")), &client.Options{Buffer: 1})
		defer sub.Close()
		check := func(what string, state client.State, ago time.Duration) {
			t.Helper()
			synctest.Wait()
			if s := sub.Stats(); s.State != state || time.Since(s.Since) != ago {
				t.Errorf("%s: got %v since %v, want %v since %v", what, s.State, time.Since(s.Since), state, ago)
			}
		}
		ev := next(t, sub)
		time.Sleep(time.Minute)
		check("full", client.StateFull, time.Minute)
		sub.Pause()
		time.Sleep(time.Second)
		check("paused", client.StatePaused, time.Second)
		sub.Resume()
		ev.Ack()
		time.Sleep(2 * time.Second)
		check("full again", client.StateFull, 2*time.Second)
		go sub.Drain(t.Context())
		time.Sleep(3 * time.Second)
		check("drained", client.StateEnded, 3*time.Second)
		next(t, sub).Ack()
	})
}

// OldestSince is when the event became the oldest one, or its attempt began, for those who look
// regularly.
func TestOldestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, start := new(client.Monitor), time.Now()
		sub := subscribe(t, script(events("1", "2")), &client.Options{Monitor: m})
		defer sub.Close()
		check := func(what string, attempt int, want time.Duration) {
			t.Helper()
			if s := sub.Stats(); s.OldestSince.Sub(start) != want || s.OldestAttempt != attempt {
				t.Errorf("%s: got attempt %d since %v, want %d since %v", what, s.OldestAttempt, s.OldestSince.Sub(start), attempt, want)
			}
		}
		time.Sleep(35 * time.Second)
		check("no consumer", 0, 10*time.Second)
		ev := next(t, sub)
		check("a consumer", 1, 35*time.Second)
		time.Sleep(30 * time.Second)
		check("the same one", 1, 35*time.Second)
		ev.Ack()
		check("the next event", 0, 65*time.Second)
		next(t, sub).Nack(client.RetryAfter(time.Second, nil))
		time.Sleep(2 * time.Second)
		ev = next(t, sub)
		check("the next attempt", 2, 67*time.Second)
		ev.Ack()
		if s := sub.Stats(); !s.OldestSince.IsZero() || !s.Oldest.IsZero() {
			t.Errorf("an empty buffer: got %v, want none", s.OldestSince)
		}
	})
}

// Stats has the limits of the buffer, and whether Close has returned, which the end of the feed is not.
func TestStatsLimitsAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			opts          *client.Options
			events, bytes int
		}{{nil, 1024, 8 << 20}, {&client.Options{Buffer: 3, BufferBytes: 77}, 3, 77}} {
			sub := subscribe(t, mock.NewFeed(mock.Complete()), c.opts)
			time.Sleep(time.Second)
			if s := sub.Stats(); s.MaxBuffered != c.events || s.MaxBufferedBytes != c.bytes || s.Closed || s.State != client.StateEnded {
				t.Errorf("at the end of the feed: got %+v, want limits %d and %d, and not closed", s, c.events, c.bytes)
			}
			sub.Close()
			if s := sub.Stats(); !s.Closed {
				t.Errorf("after Close: got %+v, want it closed", s)
			}
		}
	})
}
