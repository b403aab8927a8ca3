package client_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// TestSaveSeenStaleIsNotTakenForANewerOne has a save land that a stale read does not show, so that a newer one conflicts with it.
func TestSaveSeenStaleIsNotTakenForANewerOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		o := named(store)
		o.CommitEvery = -1
		sub := subscribe(t, script(events("1", "2", "3")), o)
		defer sub.Close()
		data(t, sub, 1)
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		store.OnLoad(&mock.Fault{Stale: true})
		if err := sub.Commit(t.Context()); err == nil {
			t.Fatal("unexpected nil")
		}
		data(t, sub, 1)
		if err := sub.Commit(t.Context()); err == nil && readRecord(t, store).Token != "2" {
			t.Errorf("Commit returned nil, stored token is %q, want 2", readRecord(t, store).Token)
		}
	})
}

// TestCommitDoesNotWaitForPositions commits while a position that nobody acknowledges lies behind the event in hand.
func TestCommitDoesNotWaitForPositions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1", "2"), steps(mock.Position("7"))), named(mock.NewStore()))
		defer sub.Close()
		synctest.Wait()
		n := 0
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if n == 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				err := sub.Commit(ctx)
				cancel()
				if err != nil {
					t.Errorf("Commit in the body of %s: %v", ev.ID, err)
				}
				break
			}
		}
	})
}

// TestRefusedEventFindsAnotherConsumer has the consumer leave that knew when the refused event is due.
func TestRefusedEventFindsAnotherConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1")), nil)
		defer sub.Close()
		ev, _ := sub.Next(t.Context())
		got := make(chan time.Duration, 2)
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		go func() { sub.Next(short) }() // takes the wake-up, arms the timer, and leaves
		synctest.Wait()
		ctx, cancel2 := context.WithTimeout(t.Context(), time.Hour)
		defer cancel2()
		go func() {
			sub.Next(ctx)
			got <- time.Since(start)
		}()
		synctest.Wait()
		ev.Nack(nil)
		if d := <-got; d != time.Second {
			t.Errorf("the refused event came back after %v, want 1s", d)
		}
	})
}

// TestFullBufferEndsEveryBatch has several consumers hold batches that together fill the buffer.
func TestFullBufferEndsEveryBatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1"), steps(mock.Pause(time.Second)), events("2"), steps(mock.Pause(time.Second)), events("3", "4"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{BufferBytes: 12})
		defer sub.Close()
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for b := range sub.Batches(100, time.Hour) {
					t.Log(time.Since(start), len(b), b[0].ID)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d > time.Minute {
			t.Errorf("took %v", d)
		}
	})
}

// TestCommitEndsWhenFenced commits behind an event that can no longer be acknowledged.
func TestCommitEndsWhenFenced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		sub := subscribe(t, script(events("1", "2", "3")), named(store))
		defer sub.Close()
		a, _ := sub.Next(t.Context())
		b, _ := sub.Next(t.Context())
		c, _ := sub.Next(t.Context())
		newer := subscribe(t, script(), named(store))
		defer newer.Close()
		c.Ack()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		go func() { time.Sleep(time.Millisecond); a.Ack() }()
		err := sub.Commit(ctx)
		if !errors.Is(err, client.ErrFenced) {
			t.Errorf("Commit: %v after %v (Ack of an event in hand says %v)", err, time.Since(start), b.Ack())
		}
	})
}

// TestGapAfterACrashBeforeTheFirstAck loses an event with the process that had it in hand, and no position to go back to.
func TestGapAfterACrashBeforeTheFirstAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("1", "2"))
		o := named(mock.NewStore())
		sub := subscribe(t, feed, o)
		ev, _ := sub.Next(t.Context()) // received, in hand, the process dies
		sub.Close()
		feed.Publish(append(events("3"), mock.Complete())...)
		sub = subscribe(t, feed, o)
		defer sub.Close()
		for next := range sub.Events() {
			if next.ID != ev.ID && next.Gap == nil {
				t.Errorf("event %s is gone without a Gap on %s", ev.ID, next.ID)
			}
			break
		}
	})
}

// TestTokenThatIsNotUTF8 resumes from bytes that JSON cannot hold.
func TestTokenThatIsNotUTF8(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := script(events("caf\xe9", "2"))
		o := named(mock.NewStore())
		sub := subscribe(t, feed, o)
		data(t, sub, 1)
		sub.Close()
		sub = subscribe(t, feed, o)
		defer sub.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ev, _ := sub.Next(ctx)
		ts := tokens(feed)
		if ts[1] != "caf\xe9" || ev.ID != "2" || ev.Gap != nil {
			t.Errorf("resumed from %q, got %q with gap %v", ts[1], ev.ID, ev.Gap)
		}
	})
}

// TestPositionsAreSaved moves the position when nothing is acknowledged any more.
func TestPositionsAreSaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		feed := script(events("1"), steps(mock.Pause(time.Minute), mock.Position("7")))
		sub := subscribe(t, feed, named(store))
		defer sub.Close()
		data(t, sub, 1)
		time.Sleep(time.Hour)
		if r := readRecord(t, store); r.Token != "7" {
			t.Errorf("an hour after the position the stored token is %q, want 7", r.Token)
		}
	})
}

// TestHugeBuffer asks for more than there can be.
func TestHugeBuffer(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
		}
	}()
	bubble(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v", p)
			}
		}()
		sub, err := client.Subscribe(t.Context(), script(), &client.Options{Buffer: math.MaxInt})
		if err == nil {
			sub.Close()
		}
	})
}

// TestDedupeLeavesRefusedEventsAlone has a sender repeat the event that was refused.
func TestDedupeLeavesRefusedEventsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("the refused event never came again: %v; the sender was answered %v", err, answers)
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

// TestChangedAttempt changes a field that is the consumer's to change.
func TestChangedAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		sub := subscribe(t, script(events("1")), named(store))
		defer sub.Close()
		ev, _ := sub.Next(t.Context())
		ev.Attempt = 0
		if err := ev.Ack(); err == nil && sub.Stats().Acked != 1 {
			t.Errorf("Ack returned nil and did nothing")
		}
	})
}

// TestSkippedEventsCountInTheSequence skips an event that has a number.
func TestSkippedEventsCountInTheSequence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1", "2", "3"), steps(mock.Complete())), &client.Options{
			Skip: func(ev client.Event) bool { return ev.ID == "2" },
			SequenceOf: func(ev client.Event) (string, uint64, bool) {
				n, err := strconv.ParseUint(ev.ID, 10, 64)
				return "", n, err == nil
			},
		})
		defer sub.Close()
		if g := gaps(t, sub); len(g) > 0 {
			t.Errorf("nothing is missing: %v", g)
		}
	})
}

// TestTypedNilTransport passes a nil *transport.HTTP.
func TestTypedNilTransport(t *testing.T) {
	var config *client.ConfigError
	if _, err := client.Subscribe(t.Context(), (*transport.HTTP)(nil), nil); !errors.As(err, &config) {
		t.Errorf("Subscribe: %v", err)
	}
}

// TestStaleReadsForAMoment has a replica lag while a save fails.
func TestStaleReadsForAMoment(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		sub := subscribe(t, script(events("1", "2")), named(store))
		defer sub.Close()
		data(t, sub, 1)
		if err := sub.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		data(t, sub, 1)
		// A replica lags by one write for a moment; Save has failed in that moment.
		store.OnSave(&mock.Fault{Err: errors.New("leader lost")})
		store.OnLoad(&mock.Fault{Stale: true, Count: 5})
		start := time.Now()
		for range 10 {
			if err := sub.Commit(t.Context()); err == nil {
				return
			}
		}
		_, err := sub.Next(t.Context())
		t.Errorf("after %v: %v", time.Since(start), err)
	})
}

// TestGapAtTheEndOfTheFeed has no event left to tell of a loss.
func TestGapAtTheEndOfTheFeed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1"), steps(mock.Drop(), mock.Status(410), mock.Complete())), nil)
		defer sub.Close()
		_, end := data(t, sub, 0)
		var gap *client.Gap
		if !errors.As(end, &gap) || gap.Reason != transport.GapTokenRejected || gap.From != "1" {
			t.Errorf("the loop ended with %v, want the gap", end)
		}
	})
}

// TestNoticeThatWaitsForSpace drops the connection while the message with a notice waits for space.
func TestNoticeThatWaitsForSpace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := make(chanFeed, 5)
		c <- transport.Message{Data: []byte("a"), ID: "1", Token: "1"}
		c <- transport.Message{Data: []byte("b"), ID: "2", Token: "2", Gap: &client.Gap{Reason: transport.GapNotice, Missed: 40}}
		sub := subscribe(t, c, &client.Options{Buffer: 1})
		defer sub.Close()
		synctest.Wait()
		sub.Reconnect()
		synctest.Wait()
		c <- transport.Message{Data: []byte("b"), ID: "2", Token: "2"} // resumed after 1; the notice is not repeated
		data(t, sub, 1)
		ev, _ := sub.Next(t.Context())
		if ev.Gap == nil {
			t.Errorf("the server's notice of 40 lost events is itself lost")
		}
	})
}

// TestAckBeforeTheEventIsDelivered acknowledges inside of Skip.
func TestAckBeforeTheEventIsDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := make(chanFeed, 1)
		c <- transport.Message{Data: []byte("a"), ID: "1", Token: "1"}
		sub := subscribe(t, c, &client.Options{Skip: func(ev client.Event) (skip bool) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v", p)
				}
			}()
			ev.Ack()
			return false
		}})
		synctest.Wait()
		sub.Close()
	})
}

// TestNoBatchAfterTheEnd ends the context while a batch is being collected.
func TestNoBatchAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		sub, _ := client.Subscribe(ctx, script(events("1", "2")), nil)
		done := make(chan bool)
		go func() {
			defer close(done)
			for b, err := range sub.Batches(5, time.Hour) {
				if ctx.Err() != nil && err == nil {
					t.Errorf("batch of %d handed out after the end", len(b))
				}
			}
		}()
		synctest.Wait()
		cancel()
		<-done
		sub.Close()
	})
}

// TestResetPositionDoesNotPassAnEvent has the server take its position back with an event that is not acknowledged.
func TestResetPositionDoesNotPassAnEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		// SSE "id:" + data is a Position "" and then the event.
		feed := script(events("1"), steps(mock.Position("")), events(""))
		sub := subscribe(t, feed, named(store))
		data(t, sub, 1)
		sub.Next(t.Context()) // in hand
		sub.Close()
		if r := readRecord(t, store); r.Token != "1" {
			t.Errorf("stored token %q although the event behind 1 is not acknowledged", r.Token)
		}
	})
}
