package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// A request is a message of a sender that waits for the outcome.
type request struct {
	mu      sync.Mutex
	outcome []error
}

func (r *request) message(id string) transport.Message {
	return transport.Message{ID: id, Data: []byte("sent " + id), Delivery: &transport.Delivery{}, Settle: func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outcome = append(r.outcome, err)
	}}
}

// is fails the test unless the sender has the given answers.
func (r *request) is(t *testing.T, when string, want ...error) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.outcome, want) {
		t.Errorf("%s: got the outcomes %v, want %v", when, r.outcome, want)
	}
}

// listed returns messages of the provider's list of events.
func listed(ids ...string) (ms []transport.Message) {
	for _, id := range ids {
		ms = append(ms, transport.Message{ID: id, Data: []byte("listed " + id)})
	}
	return ms
}

// An event that arrives both ways is delivered once, and its sender is answered when it is settled.
func TestBackfillOfAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, a := &hub{}, &archive{answers: []answer{{items: listed("1", "2", "2", "3")}, {items: listed("5"), took: time.Minute, err: errUnanswered}, {items: listed("6", "7")}}}
		sub := listening(t, h, &client.Options{Dedupe: 100, Backfill: a.backfill})
		synctest.Wait()
		var first, second, third request
		h.accept(t, first.message("2"), second.message("2"), third.message("4"))
		ev := nextOf(t, sub, "listed 1")
		ev.Ack()
		ev = nextOf(t, sub, "listed 2")
		first.is(t, "before the Ack")
		ev.Nack(errors.New("not yet")) // no sender repeats it
		first.is(t, "after a Nack")
		nextOf(t, sub, "listed 3").Ack()
		nextOf(t, sub, "sent 4").Nack(errBusy)
		third.is(t, "after its Nack", errBusy)
		if ev = nextOf(t, sub, "listed 2"); ev.Attempt != 2 {
			t.Errorf("attempt of an event that was refused: got %d, want 2", ev.Attempt)
		}
		ev.Ack()
		first.is(t, "after the Ack", nil)
		second.is(t, "after the Ack", nil)

		var again, late request
		h.accept(t, again.message("4"), late.message("2"))
		late.is(t, "after the Ack", nil)
		nextOf(t, sub, "sent 4").Ack()
		again.is(t, "after the Ack", nil)

		h.listener().end <- errors.New("down")
		nextOf(t, sub, "listed 5").Ack()
		var before request
		h.accept(t, before.message("7"))
		time.Sleep(time.Hour)
		ev = nextOf(t, sub, "sent 7")
		nextOf(t, sub, "listed 6").Ack()
		before.is(t, "before the Ack")
		ev.Ack()
		before.is(t, "after the Ack", nil)
		want(t, "questions", a.asked, []string{`start after "", missed 0`, `no token after "", missed 0`, `no token after "", missed 0`})
		if s := sub.Stats(); s.Duplicates != 5 || s.Gaps != 0 || !s.CaughtUp {
			t.Errorf("Stats: got %+v, want 5 duplicates, no gap and caught up", s)
		}
		sub.Close()
	})
}

// What a sender has delivered is not delivered again from the list, and a sender is never answered
// before the event is settled, in whichever order they arrive.
func TestBackfillAfterTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, a := &hub{}, &archive{answers: []answer{{items: listed("0", "1"), took: time.Minute}}}
		sub := listening(t, h, &client.Options{Dedupe: 100, Buffer: 1, Backfill: a.backfill})
		synctest.Wait()
		var r request
		h.reject(t, 0, transport.ErrFull, r.message("1"))
		ev := nextOf(t, sub, "listed 0")
		ev.Ack()
		nextOf(t, sub, "listed 1")
		h.reject(t, 0, transport.ErrFull, r.message("1"))
		r.is(t, "before the Ack")
		sub.Close()

		h, a = &hub{}, &archive{answers: []answer{{items: listed("0", "1", "2"), took: time.Minute}}}
		sub = listening(t, h, &client.Options{Dedupe: 100, Buffer: 2, Backfill: a.backfill, Skip: func(ev client.Event) bool { return ev.ID == "2" }})
		synctest.Wait() // the list waits for space
		nextOf(t, sub, "listed 0").Ack()
		ev = nextOf(t, sub, "listed 1")
		synctest.Wait()
		h.accept(t, r.message("2"), r.message("1"))
		r.is(t, "skipped before", nil)
		ev.Ack()
		r.is(t, "after the Ack", nil, nil)
		sub.Close()
	})
}

// A backfill of a Receiver that fails permanently ends the subscription, and Close ends one that waits.
func TestBackfillOfAReceiverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{answers: []answer{{err: final{}}}}
		sub := listening(t, &hub{}, &client.Options{Dedupe: 10, Backfill: a.backfill})
		if _, err := sub.Next(t.Context()); !errors.Is(err, final{}) {
			t.Errorf("Next: got %v, want the error of Backfill", err)
		}
		sub.Close()

		for _, a := range []*archive{{answers: []answer{{took: time.Hour}}}, {answers: []answer{{items: listed("1", "2", "3")}}}} {
			sub = listening(t, &hub{}, &client.Options{Dedupe: 10, Buffer: 1, Backfill: a.backfill})
			synctest.Wait()
			start := time.Now()
			sub.Close()
			if d := time.Since(start); d > time.Second {
				t.Errorf("Close took %v, want at most 1s", d)
			}
		}

		// One that is complete waits for the end of its backfill.
		h := &hub{}
		sub = listening(t, h, &client.Options{Dedupe: 10, Buffer: 1, Backfill: (&archive{answers: []answer{{items: listed("1", "2", "3"), took: time.Minute}}}).backfill})
		h.listener().end <- transport.ErrComplete
		got, err := data(t, sub, 0)
		want(t, "events", got, []string{"listed 1", "listed 2", "listed 3"})
		if err != nil {
			t.Errorf("got the end %v, want none", err)
		}
		sub.Close()
	})
}

func TestBackfillOfAReceiverNeedsDedupe(t *testing.T) {
	_, err := client.Subscribe(t.Context(), &hub{}, &client.Options{Backfill: func(context.Context, client.Gap, func(transport.Message) error) (string, error) { return "", nil }})
	if err == nil || !strings.Contains(err.Error(), "Options.Dedupe: is required with Backfill") {
		t.Errorf("Subscribe: got %v, want an error that names Dedupe", err)
	}
}

// nextOf returns the next event, which has the given data.
func nextOf(t *testing.T, sub *client.Subscription, data string) client.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	ev, err := sub.Next(ctx)
	if err != nil || string(ev.Data) != data {
		t.Fatalf("Next: got %q and the error %v, want %q", ev.Data, err, data)
	}
	return ev
}
