package client_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// The initial state ends with an event, between two events, or with one that is skipped or dropped.
// One event reports it, and CaughtUp waits until everything before the end is acknowledged.
func TestCaughtUp(t *testing.T) {
	for name, c := range map[string]struct {
		messages []transport.Message
		initial  int
		flagged  string
	}{
		"last event": {[]transport.Message{{Data: []byte("a")}, {Data: []byte("b"), CaughtUp: true}, {Data: []byte("c")}}, 2, "b"},
		"keepalive":  {[]transport.Message{{Data: []byte("a")}, {Kind: decode.KindKeepalive, CaughtUp: true}, {Data: []byte("c")}}, 1, "c"},
		"position":   {[]transport.Message{{Kind: decode.KindPosition, Token: "1", CaughtUp: true}, {Data: []byte("c")}, {Data: []byte("d"), CaughtUp: true}}, 0, "c"},
		"skipped":    {[]transport.Message{{Data: []byte("a")}, {Data: []byte("skip"), CaughtUp: true}, {Data: []byte("c")}}, 1, "c"},
		"duplicate":  {[]transport.Message{{Data: []byte("a"), ID: "1"}, {Data: []byte("a"), ID: "1", CaughtUp: true}, {Data: []byte("c")}}, 1, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed, traced := make(chanFeed, 5), 0
				sub := subscribe(t, feed, &client.Options{
					Dedupe: 10, Skip: func(ev client.Event) bool { return string(ev.Data) == "skip" },
					Trace: &client.Trace{CaughtUp: func() { traced++ }},
				})
				defer sub.Close()
				isDone := func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					err := sub.CaughtUp(ctx)
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("CaughtUp: got %v, want the deadline", err)
					}
					if s := sub.Stats(); s.CaughtUp != (err == nil) {
						t.Errorf("Stats.CaughtUp: got %t, want %t", s.CaughtUp, err == nil)
					}
					return err == nil
				}
				if isDone() {
					t.Error("CaughtUp before the first message: got nil, want an error")
				}
				for _, m := range c.messages {
					feed <- m
				}
				flagged := ""
				for n := 0; ; n++ {
					if done := isDone(); done != (n >= c.initial) {
						t.Errorf("CaughtUp after %d events: got %t, want %t", n, done, n >= c.initial)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					ev, err := sub.Next(ctx)
					cancel()
					if err != nil {
						break
					}
					if ev.CaughtUp {
						flagged += string(ev.Data)
					}
					if n < c.initial && isDone() {
						t.Errorf("CaughtUp before the Ack of %s: got nil, want an error", ev.Data)
					}
					ev.Ack()
				}
				if flagged != c.flagged || traced != 1 {
					t.Errorf("Event.CaughtUp: got %q and %d calls of Trace, want %q and one", flagged, traced, c.flagged)
				}
			})
		})
	}
}

// CaughtUp waits in the background, and ends with the subscription.
func TestCaughtUpEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := make(chanFeed, 5)
		sub := subscribe(t, feed, nil)
		done := make(chan error)
		go func() { done <- sub.CaughtUp(t.Context()) }()
		feed <- transport.Message{Data: []byte("a"), CaughtUp: true}
		ev, _ := sub.Next(t.Context())
		time.Sleep(time.Hour)
		ev.Ack()
		if err := <-done; err != nil {
			t.Errorf("CaughtUp: got %v, want nil", err)
		}
		sub.Close()

		sub = subscribe(t, feed, nil)
		go func() { done <- sub.CaughtUp(t.Context()) }()
		time.Sleep(time.Hour)
		sub.Close()
		if err := <-done; !errors.Is(err, client.ErrClosed) {
			t.Errorf("CaughtUp after Close: got %v, want ErrClosed", err)
		}

		sub = subscribe(t, &messages{{Data: []byte("a")}}, nil)
		go func() { done <- sub.CaughtUp(t.Context()) }()
		if _, err := data(t, sub, 0); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("CaughtUp of a complete feed: got %v, want nil", err)
		}
		if _, err := sub.Next(t.Context()); err != io.EOF {
			t.Errorf("Next: got %v, want io.EOF", err)
		}
		sub.Close()
	})
}

// A list that a backfill has delivered before the connection is the initial state. What repairs a
// gap later is not.
func TestCaughtUpByBackfill(t *testing.T) {
	for name, c := range map[string]struct {
		answers []answer
		want    bool
	}{
		"list":      {[]answer{{items: items("x"), resume: "1"}}, true},
		"snapshot":  {[]answer{{}, {items: items("x")}}, true},
		"accepted":  {[]answer{{items: items("x"), resume: "1", err: client.ErrAcceptGap}}, false},
		"sequences": {[]answer{{err: client.ErrAcceptGap}, {items: items("x")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &archive{answers: c.answers}
				sub := subscribe(t, &counted{conns: []chan transport.Message{conn("a1", "a3")}}, &client.Options{Backfill: a.backfill, SequenceOf: numberOf})
				flags := 0
				for range 3 {
					ev, _ := sub.Next(t.Context())
					if ev.Ack(); ev.CaughtUp {
						flags++
					}
					if name != "sequences" && string(ev.Data) == "a1" {
						break
					}
				}
				if got := sub.Stats().CaughtUp; got != c.want || flags > 1 || (flags == 1) != c.want {
					t.Errorf("got caught up %t and %d flags, want %t", got, flags, c.want)
				}
				sub.Close()
			})
		})
	}
}

// A feed is also complete if Backfill says so.
func TestCaughtUpAfterABackfillThatCompletes(t *testing.T) {
	for name, answers := range map[string][]answer{
		"before a connection": {{items: items("1"), err: transport.ErrComplete}},
		"connected":           {{}, {items: items("1"), err: transport.ErrComplete}},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &archive{answers: answers}
			sub := subscribe(t, &counted{conns: []chan transport.Message{conn()}}, &client.Options{Backfill: a.backfill})
			defer sub.Close()
			got, end := data(t, sub, 0)
			if want(t, name, got, []string{"1"}); end != nil {
				t.Errorf("%s: got the end %v, want none", name, end)
			}
			if err := sub.CaughtUp(t.Context()); err != nil || !sub.Stats().CaughtUp {
				t.Errorf("%s: CaughtUp returned %v, want nil", name, err)
			}
		})
	}
}
