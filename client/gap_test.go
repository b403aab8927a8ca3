package client_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// gaps reads the feed to its end and describes each event that carries a Gap.
func gaps(t *testing.T, sub *client.Subscription) (got []string) {
	t.Helper()
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if g := ev.Gap; g != nil {
			got = append(got, fmt.Sprintf("%s: %s %q to %q, missed %d", ev.Data, g.Reason, g.From, g.To, g.Missed))
		}
	}
	return got
}

func TestGapWhenTheTokenIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2"), steps(mock.Drop(), mock.Status(410)), events("5", "6"), steps(mock.Complete()))
		var traced []client.Gap
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{Gap: func(g client.Gap) { traced = append(traced, g) }}})
		got := gaps(t, sub)
		sub.Close()
		want(t, "gaps", got, []string{`data 5: token rejected "2" to "5", missed 0`})
		want(t, "tokens", tokens(feed), []string{"", "2", ""})
		var status interface{ StatusCode() int }
		if len(traced) != 1 || !errors.As(traced[0].Err, &status) {
			t.Errorf("Trace: got %v, want one gap with the status", traced)
		}
	})
}

func TestGapWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(steps(mock.Refuse(), mock.Status(503)), events("", ""), steps(mock.Drop(), mock.Refuse()),
			events("", ""), steps(mock.End(), mock.End()), events(""), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		got := gaps(t, sub)
		n := sub.Stats().Gaps
		sub.Close()
		// Nothing can be lost before the first connection.
		want(t, "gaps", got, []string{`data : no token "" to "", missed 0`, `data : no token "" to "", missed 0`})
		if n != 2 {
			t.Errorf("Trace: got %d gaps, want 2", n)
		}
	})
}

func TestGapAcrossARestartWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := named(new(mock.Store))
		sub := subscribe(t, script(events("", "")), o)
		data(t, sub, 1)
		sub.Close()
		sub = subscribe(t, script(events(""), steps(mock.Complete())), o)
		want(t, "gaps", gaps(t, sub), []string{`data : no token "" to "", missed 0`})
		sub.Close()
	})
}

// The process is stopped between the discovery of a loss and the event that reports it: the next
// process must discover the loss again.
func TestCheckpointDoesNotPassAPendingGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := named(new(mock.Store))
		feed := script(events("1"), steps(mock.Drop(), mock.Status(410), position("9")))
		sub := subscribe(t, feed, o)
		data(t, sub, 1)
		time.Sleep(time.Minute)
		sub.Close()
		if r := readRecord(t, o.Store); r.Token != "1" {
			t.Fatalf("stored token: got %q, want 1, so that the next process discovers the loss", r.Token)
		}
		sub = subscribe(t, script(steps(mock.Status(410)), events("10"), steps(mock.Complete())), o)
		want(t, "gaps", gaps(t, sub), []string{`data 10: token rejected "1" to "10", missed 0`})
		sub.Close()
	})
}

func TestGapOfASequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("a1", "b1", "a2", "a5", "b2", "none", "a6", "a4", "a5"), steps(mock.End()), events("a9"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{SequenceOf: func(ev client.Event) (string, uint64, bool) {
			n, err := strconv.ParseUint(ev.ID[1:], 10, 64)
			return ev.ID[:1], n, err == nil
		}})
		want(t, "gaps", gaps(t, sub), []string{
			`data a5: sequence jump "a2" to "a5", missed 2`,
			`data a9: sequence jump "a5" to "a9", missed 3`,
		})
		sub.Close()
	})
}

// A loss of unknown size is logged without the attribute missed.
func TestGapIsLogged(t *testing.T) {
	for missed, text := range map[uint64]string{0: "map[reason:notice]", 40: "map[missed:40 reason:notice]"} {
		synctest.Test(t, func(t *testing.T) {
			book := &logbook{}
			notice := &client.Gap{Reason: transport.GapNotice, Missed: missed}
			sub := subscribe(t, &messages{{Data: []byte("a"), ID: "1", Gap: notice}}, &client.Options{Logger: book.logger()})
			gaps(t, sub)
			sub.Close()
			if got := fmt.Sprint(book.lines); !strings.Contains(got, "WARN events may be missing "+text) {
				t.Errorf("missed %d: got the log %s, want %q", missed, got, text)
			}
		})
	}
}

func TestGapOfTheTransportIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notice := &client.Gap{Reason: transport.GapNotice, Missed: 40}
		sub := subscribe(t, &messages{{Data: []byte("a"), Token: "1"}, {Data: []byte("b"), Token: "2", Gap: notice}}, nil)
		want(t, "gaps", gaps(t, sub), []string{`b: notice "1" to "2", missed 40`})
		sub.Close()
		if *notice != (client.Gap{Reason: transport.GapNotice, Missed: 40}) {
			t.Errorf("the transport's Gap: got %+v, want it unchanged", notice)
		}
	})
}

// The transport reports a loss on a message that is not an event, for example because a response
// names another position. That is the position to resume from.
func TestGapOfAKeepaliveIsDeliveredWithTheNextEvent(t *testing.T) {
	for name, m := range map[string]transport.Message{
		"position":  {Kind: decode.KindPosition, Token: "50"},
		"keepalive": {Kind: decode.KindKeepalive},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				feed := make(chanFeed, 3)
				m.Gap = &client.Gap{Reason: transport.GapTokenRejected, Missed: 40}
				feed <- m
				o := named(store)
				o.StartAfter = "1"
				sub := subscribe(t, feed, o)
				time.Sleep(time.Minute)
				if r := readRecord(t, store); r.Token != "" {
					t.Errorf("stored token before the loss was reported: got %q, want none", r.Token)
				}
				feed <- transport.Message{Data: []byte("a")} // has the position's token
				ev, _ := sub.Next(t.Context())
				token := cmp.Or(m.Token, "1")
				want(t, "gap", []client.Gap{*ev.Gap}, []client.Gap{{Reason: transport.GapTokenRejected, From: "1", To: token, Missed: 40}})
				ev.Ack()
				sub.Close()
				if r := readRecord(t, store); r.Token != token {
					t.Errorf("stored token: got %q, want %q", r.Token, token)
				}
			})
		})
	}
}

// messages is a feed of these messages.
type messages []transport.Message

func (m *messages) Validate() error { return nil }

func (m *messages) Open(context.Context, string) (*transport.Session, error) {
	return &transport.Session{Conn: m, Resumes: true}, nil
}

func (m *messages) Read(msg *transport.Message) (err error) {
	*msg, err = m.message()
	return err
}

func (m *messages) message() (transport.Message, error) {
	if len(*m) == 0 {
		return transport.Message{}, transport.ErrComplete
	}
	next := (*m)[0]
	*m = (*m)[1:]
	return next, nil
}

func (m *messages) Close() error { return nil }

// A feed without a position breaks off and is complete when the client reconnects: events in
// between are lost, and no event is left to report that.
func TestCompleteAfterABreakIsALoss(t *testing.T) {
	for name, c := range map[string]struct {
		end  mock.Step
		lost bool
	}{"broken": {mock.Drop(), true}, "clean": {mock.End(), false}} {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(mock.Event("1", "a"), position(""), c.end, mock.Status(204))
			sub, err := client.Subscribe(t.Context(), feed, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			for err = nil; err == nil; {
				var ev client.Event
				if ev, err = sub.Next(t.Context()); err == nil {
					ev.Ack()
				}
			}
			var gap *client.Gap
			if lost := errors.As(err, &gap); lost != c.lost {
				t.Errorf("%s: got the end %v, want a Gap: %t", name, err, c.lost)
			}
		})
	}
}

// An earlier process left no position, and the feed is complete before this one is connected.
func TestCompleteAtARestartWithoutAPositionIsALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("", "a"), mock.Status(204))
		o := named(new(mock.Store))
		sub := subscribe(t, feed, o)
		next(t, sub) // is never acknowledged
		sub.Close()
		sub = subscribe(t, feed, o)
		defer sub.Close()
		var gap *client.Gap
		if _, err := sub.Next(t.Context()); !errors.As(err, &gap) || gap.Reason != transport.GapNoToken {
			t.Errorf("Next after the restart: got %v, want a Gap with the reason %q", err, transport.GapNoToken)
		}
	})
}

// The process dies with an event that is not acknowledged, before there is a position to resume
// from.
func TestGapAfterACrashBeforeTheFirstAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2"))
		o := named(new(mock.Store))
		sub := subscribe(t, feed, o)
		ev, _ := sub.Next(t.Context()) // the process dies before it acknowledges the event
		sub.Close()
		feed.Publish(append(events("3"), mock.Complete())...)
		sub = subscribe(t, feed, o)
		defer sub.Close()
		for next := range sub.Events() {
			if next.ID != ev.ID && next.Gap == nil {
				t.Errorf("event %s is lost: got no Gap on %s, want one", ev.ID, next.ID)
			}
			break
		}
	})
}

func TestGapAtTheEndOfTheFeedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1"), steps(mock.Drop(), mock.Status(410), mock.Complete())), nil)
		defer sub.Close()
		_, end := data(t, sub, 0)
		var gap *client.Gap
		if !errors.As(end, &gap) || gap.Reason != transport.GapTokenRejected || gap.From != "1" {
			t.Errorf("got the end %v, want the gap", end)
		}
	})
}
