package client_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestEventWithoutTokenHoldsTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "", ""), steps(mock.Drop()), events("2"))
		o := &client.Options{Name: "n", Store: new(mock.Store)}
		sub := subscribe(t, feed, o)
		// Resuming after 1 delivers the two without an id again.
		for i, token := range []string{"1", "1", "1", "1", "1", "2"} {
			ev, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if ev.Token != token {
				t.Errorf("event %d: got token %q, want %q", i, ev.Token, token)
			}
			if i == 0 || i == 5 {
				ev.Ack() // those in the middle are not
			}
		}
		sub.Close()
		sub = subscribe(t, feed, o)
		defer sub.Close()
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := tokens(feed); got[len(got)-1] != "1" {
			t.Errorf("restarted from %q, want 1", got[len(got)-1])
		}
	})
}

func TestPositionWithoutEventIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1"), steps(position("7"), mock.End(), mock.Complete()))
		o := &client.Options{Name: "n", Store: new(mock.Store)}
		sub := subscribe(t, feed, o)
		if got, err := data(t, sub, 0); len(got) != 1 || err != nil {
			t.Errorf("got %v, %v, want one event", got, err)
		}
		sub.Close()
		want(t, "tokens", tokens(feed), []string{"", "7"})
		if rec := readRecord(t, o.Store.(*mock.Store)); rec.Token != "7" {
			t.Errorf("stored token: got %q, want 7", rec.Token)
		}
	})
}

func TestStartAfterAppliesWithoutARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		drained := subscribe(t, feed, nil)
		data(t, drained, 0)
		drained.Close()
		o := &client.Options{Name: "n", Store: new(mock.Store), StartAfter: "1"}
		sub := subscribe(t, feed, o)
		got, _ := data(t, sub, 1)
		want(t, "first start", got, []string{"data 2"})
		sub.Close()
		sub = subscribe(t, feed, o)
		got, _ = data(t, sub, 0)
		want(t, "restart: the Store wins", got, []string{"data 3"})
		sub.Close()
	})
}

func TestSkippedEventMovesTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "bookmark 2", "3", "bookmark 4"), steps(mock.End(), mock.Complete()))
		o := &client.Options{Name: "n", Store: new(mock.Store),
			Skip: func(ev client.Event) bool { return strings.HasPrefix(ev.ID, "bookmark") }}
		sub := subscribe(t, feed, o)
		got, _ := data(t, sub, 0)
		s := sub.Stats()
		sub.Close()
		want(t, "events", got, []string{"data 1", "data 3"})
		want(t, "tokens", tokens(feed), []string{"", "bookmark 4"})
		if s.Skipped != 2 || s.Received != 4 {
			t.Errorf("Stats: got %d of %d skipped, want 2 of 4", s.Skipped, s.Received)
		}
		if rec := readRecord(t, o.Store.(*mock.Store)); rec.Token != "bookmark 4" {
			t.Errorf("stored token: got %q, want bookmark 4", rec.Token)
		}
	})
}

func TestDedupeDropsRememberedIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2"), steps(mock.End()), events("1", "2", "3", "", "", "1", "4", "1"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Dedupe: 3})
		got, _ := data(t, sub, 0)
		s := sub.Stats()
		sub.Close()
		want(t, "events", got, []string{"data 1", "data 2", "data 3", "data ", "data ", "data 4", "data 1"})
		if s.Duplicates != 3 {
			t.Errorf("Stats: got %d duplicates, want 3", s.Duplicates)
		}
	})
}

func TestDedupeKeepsEventsThatTheirSenderRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers []error
		msg := transport.Message{Data: []byte("a"), ID: "1", Settle: func(err error) { answers = append(answers, err) }}
		again := make(chan transport.Message, 3)
		again <- msg
		sub := subscribe(t, chanFeed(again), &client.Options{Dedupe: 10})
		defer sub.Close()
		ev, _ := sub.Next(t.Context())
		refusal := errors.New("database is down")
		ev.Nack(refusal)
		again <- msg // the sender repeats it
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := sub.Next(ctx); err != nil {
			t.Errorf("the refused event was not delivered again: %v; the sender got %v", err, answers)
		}
	})
}

type chanFeed chan transport.Message

func (c chanFeed) Validate() error { return nil }

func (c chanFeed) Open(ctx context.Context, _ string) (*transport.Session, error) {
	ctx, cancel := context.WithCancel(ctx)
	return &transport.Session{Conn: &chanConn{c, ctx, cancel}, Resumes: true}, nil
}

type chanConn struct {
	c      chan transport.Message
	ctx    context.Context
	cancel func()
}

func (c *chanConn) Read(m *transport.Message) (err error) {
	*m, err = c.message()
	return err
}

func (c *chanConn) message() (transport.Message, error) {
	select {
	case m := <-c.c:
		return m, nil
	case <-c.ctx.Done():
		return transport.Message{}, c.ctx.Err()
	}
}

func (c *chanConn) Close() error { c.cancel(); return nil }

func TestSkippedEventsCountInTheSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1", "2", "3"), steps(mock.Complete())), &client.Options{
			Skip: func(ev client.Event) bool { return ev.ID == "2" },
			SequenceOf: func(ev client.Event) (string, uint64, bool) {
				n, err := strconv.ParseUint(ev.ID, 10, 64)
				return "", n, err == nil
			},
		})
		defer sub.Close()
		if g := gaps(t, sub); len(g) > 0 {
			t.Errorf("got the gap %v, want none", g)
		}
	})
}

// The connection is dropped while the message with the gap waits for space, and the next one
// delivers it without the gap.
func TestGapOfAMessageThatWaitsForSpaceIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := make(chanFeed, 5)
		c <- transport.Message{Data: []byte("a"), ID: "1", Token: "1"}
		c <- transport.Message{Data: []byte("b"), ID: "2", Token: "2", Gap: &client.Gap{Reason: transport.GapNotice, Missed: 40}}
		sub := subscribe(t, c, &client.Options{Buffer: 1})
		defer sub.Close()
		synctest.Wait()
		sub.Reconnect()
		synctest.Wait()
		c <- transport.Message{Data: []byte("b"), ID: "2", Token: "2"} // resumed after 1, without the gap
		data(t, sub, 1)
		ev, _ := sub.Next(t.Context())
		if ev.Gap == nil {
			t.Error("got no gap after a dropped connection, want the one of 40 events")
		}
	})
}

// The server withdraws its position with an event that is not acknowledged.
func TestResetPositionDoesNotPassAnUnsettledEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		// SSE "id:" + data is a Position "" and then the event.
		feed := script(events("1"), steps(position("")), events(""))
		sub := subscribe(t, feed, named(store))
		data(t, sub, 1)
		sub.Next(t.Context()) // not acknowledged
		sub.Close()
		if r := readRecord(t, store); r.Token != "1" {
			t.Errorf("stored token: got %q, want 1: the next event is not acknowledged", r.Token)
		}
	})
}

// The token contains a line end. The feed continues without a position, and the loss is reported.
func TestTokenThatNoHeaderCanHoldIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Drop(), mock.Event("2", "b"), mock.Stall())
		srv := mock.NewServer(feed.Handler(decode.SSE{}))
		defer srv.Close()
		sub := subscribe(t, &transport.HTTP{URL: "http://api.example.com/", Client: srv.Client()}, &client.Options{
			TokenOf: func(ev client.Event) string { return "line\n" + ev.ID },
		})
		defer sub.Close()
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Gap == nil {
				continue
			}
			if ev.Gap.Reason != transport.GapTokenRejected || ev.Gap.From != "line\n1" || string(ev.Data) != "b" {
				t.Errorf("got %s after the gap %+v, want b after a rejected token", ev.Data, ev.Gap)
			}
			break
		}
		want(t, "tokens", tokens(feed), []string{"", ""})
	})
}

// No request can hold the id, so the position stays where it was and the event is delivered again
// after a reconnect.
func TestIDWithAControlByteIsNoPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Event("2\x01", "b"), mock.Drop(), mock.Event("3", "c"), mock.Complete())
		srv := mock.NewServer(feed.Handler(decode.SSE{}))
		defer srv.Close()
		var signals []string
		sub := subscribe(t, &transport.HTTP{URL: "http://api.example.com/", Client: srv.Client()}, &client.Options{
			Trace: &client.Trace{Signal: func(m transport.Message) { signals = append(signals, string(m.Data)) }},
		})
		var got []string
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(ev.Data)+" "+ev.Token)
		}
		sub.Close()
		if len(got) < 3 || !slices.Equal(got[:2], []string{"a 1", "b 1"}) || got[len(got)-1] != "c 3" {
			t.Errorf("got events %q, want a, b and c last", got)
		}
		if len(signals) == 0 || !strings.Contains(signals[0], "control bytes") {
			t.Errorf("got signals %q, want one about control bytes first", signals)
		}
		want(t, "tokens", tokens(feed), []string{"", "1", "3"})
	})
}
