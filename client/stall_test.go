package client_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

// A consumer that forgets its Acks is reported after 30 s, and again after another minute, two
// minutes, and so on. An event that is settled starts this again.
func TestStallIsReportedAtGrowingIntervals(t *testing.T) {
	for name, patience := range map[string]time.Duration{"held": 0, "parked": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := &logbook{}
				var stalls []client.Stall
				var count atomic.Int32
				start := time.Now()
				feed := &ticker{tick: time.Second, start: start, patience: patience}
				sub := subscribe(t, feed, &client.Options{Buffer: 8, Logger: book.logger(), Trace: &client.Trace{
					Stalled: func(s client.Stall) {
						stalls = append(stalls, s)
						count.Add(1)
					},
				}})
				defer sub.Close()
				var taken []client.Event
				for range 8 {
					ev, _ := sub.Next(t.Context())
					taken = append(taken, ev)
				}
				time.Sleep(30 * time.Second)
				taken[3].Ack() // just in time
				time.Sleep(29 * time.Second)
				if count.Load() > 0 {
					t.Fatal("got a stall after an event was settled, want none")
				}
				time.Sleep(8 * time.Minute)
				synctest.Wait()
				var after []time.Duration
				for _, s := range stalls {
					after = append(after, s.Full)
				}
				want(t, "stalls", after, []time.Duration{30 * time.Second, 90 * time.Second, 210 * time.Second, 450 * time.Second})
				last := stalls[3]
				if last.ID != "1" || last.Attempt != 1 || last.Buffered != 8 || !last.Received.Equal(start.Add(time.Second)) {
					t.Errorf("got stall %+v, want event 1 in attempt 1 with 8 buffered", last)
				}
				if s := sub.Stats(); s.OldestID != "" || s.OldestAttempt != 1 || !s.Oldest.Equal(last.Received) {
					t.Errorf("Stats: got oldest %q, attempt %d, %v, want no id that is a token, 1, %v", s.OldestID, s.OldestAttempt, s.Oldest, last.Received)
				}
				warned := 0
				for _, l := range book.lines {
					if l.text != "buffer full, no event settled" {
						continue
					}
					warned++
					if _, ok := l.attrs["id"]; ok || l.attrs["attempt"].Int64() != 1 {
						t.Errorf("got %v, want no id that is a token, and the first attempt", l)
					}
				}
				if warned != 4 {
					t.Errorf("got %d warnings, want 4", warned)
				}
			})
		})
	}
}

// The first event, whose ID is not its token, is refused again and again.
func TestStallOfARefusedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &logbook{}
		feed := &messages{{ID: "a", Data: []byte("1")}, {ID: "b", Data: []byte("2")}, {ID: "c", Data: []byte("3")}}
		sub := subscribe(t, feed, &client.Options{Buffer: 2, Logger: book.logger(), TokenOf: client.Field("@this")})
		go func() {
			for ev := range sub.Events() {
				ev.Nack(nil)
			}
		}()
		time.Sleep(40 * time.Second)
		if s := sub.Stats(); s.OldestID != "a" || s.OldestAttempt != 6 {
			t.Errorf("got oldest %q in attempt %d, want a in 6", s.OldestID, s.OldestAttempt)
		}
		sub.Close()
		for _, l := range book.lines {
			if l.text == "buffer full, no event settled" {
				if l.attrs["id"].String() != "a" || l.attrs["attempt"].Int64() != 5 {
					t.Errorf("got %v, want id a and attempt 5", l)
				}
				return
			}
		}
		t.Error("got no record of the stall, want one")
	})
}

// A server that deletes what is confirmed is not asked for more until the consumer has settled every
// event. A consumer that forgets its Ack is reported there, too.
func TestStallBeforeAConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, feed := startPages(t, func(query string) string {
			if query == "" {
				return pageOf("", "1")
			}
			return pageOf("")
		})
		feed.Cursor, feed.Confirms, feed.Interval = "", true, time.Second
		var stalls []client.Stall
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{Stalled: func(s client.Stall) { stalls = append(stalls, s) }}})
		defer sub.Close()
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(stalls) != 1 || stalls[0].Buffered != 1 || stalls[0].Attempt != 1 {
			t.Errorf("got stalls %+v, want one, of the event in its first attempt", stalls)
		}
		ev.Ack()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := sub.Stats(); len(stalls) != 1 || s.State != client.StateLive {
			t.Errorf("got %d stalls and %v after the Ack, want one, and live", len(stalls), s.State)
		}
	})
}
