package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A hub is a Receiver in memory.
type hub struct {
	refuse error         // the error of Listen, if not nil
	delay  time.Duration // before Listen returns

	mu      sync.Mutex
	deliver transport.Deliver // of the last Listen
	current *listener
	listens int
}

type listener struct {
	end    chan error // one: the error of Wait
	closed chan struct{}
	once   sync.Once
	closes atomic.Int32
}

func (h *hub) Validate() error { return nil }

func (h *hub) Listen(ctx context.Context, deliver transport.Deliver) (transport.Listener, error) {
	h.mu.Lock()
	h.listens++
	h.deliver = deliver
	h.mu.Unlock()
	if h.delay > 0 {
		time.Sleep(h.delay)
	}
	if h.refuse != nil {
		return nil, h.refuse
	}
	l := &listener{end: make(chan error, 1), closed: make(chan struct{})}
	h.mu.Lock()
	h.current = l
	h.mu.Unlock()
	return l, nil
}

func (l *listener) Wait() error {
	select {
	case err := <-l.end:
		return err
	case <-l.closed:
		return net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.closes.Add(1)
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (h *hub) listener() *listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// push delivers messages as the request of a sender would.
func (h *hub) push(ms ...transport.Message) (accepted int, err error) {
	h.mu.Lock()
	deliver := h.deliver
	h.mu.Unlock()
	return deliver(ms)
}

// accept fails the test unless all messages are accepted.
func (h *hub) accept(t *testing.T, ms ...transport.Message) {
	t.Helper()
	if n, err := h.push(ms...); n != len(ms) || err != nil {
		t.Errorf("deliver: got %d, %v, want %d, nil", n, err, len(ms))
	}
}

// reject fails the test unless deliver accepts n messages and returns want.
func (h *hub) reject(t *testing.T, n int, want error, ms ...transport.Message) {
	t.Helper()
	if got, err := h.push(ms...); got != n || err != want {
		t.Errorf("deliver: got %d, %v, want %d, %v", got, err, n, want)
	}
}

// pushed returns messages with the given data and no Settle.
func pushed(data ...string) (ms []transport.Message) {
	for _, d := range data {
		ms = append(ms, transport.Message{ID: d, Data: []byte(d)})
	}
	return ms
}

// listening subscribes to a hub and waits until it listens.
func listening(t *testing.T, h *hub, o *client.Options) *client.Subscription {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), h, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	if err := sub.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sub
}

func next(t *testing.T, sub *client.Subscription) client.Event {
	t.Helper()
	ev, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestReceiverSettlesItsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, nil)
		about := &transport.Delivery{Provider: "p", Proof: transport.ProofBody}
		results := make(chan error, 2)
		settle := func(err error) { results <- err }
		h.accept(t,
			transport.Message{Data: []byte("a"), Delivery: about, Settle: settle, Attempt: 3},
			transport.Message{Data: []byte("b"), Settle: settle})
		a, b := next(t, sub), next(t, sub)
		if string(a.Data) != "a" || a.Delivery != about || a.Attempt != 3 || b.Delivery != nil || b.Attempt != 1 {
			t.Errorf("got %q, %v, attempt %d and %v, attempt %d, want a, %v, attempt 3 and none, attempt 1", a.Data, a.Delivery, a.Attempt, b.Delivery, b.Attempt, about)
		}
		a.Ack()
		refusal := errors.New("not mine")
		b.Nack(refusal)
		a.Nack(refusal)
		if got := []error{<-results, <-results}; got[0] != nil || got[1] != refusal || len(results) > 0 {
			t.Errorf("settled with %v and %d more, want nil and the reason of Nack", got, len(results))
		}
		s := sub.Stats()
		if s.State != client.StateLive || s.Received != 2 || s.Acked != 2 || s.Nacked != 1 || s.Connections != 1 {
			t.Errorf("Stats: got %+v, want live with 2 received, 2 acked, 1 nacked, 1 connection", s)
		}
	})
}

// Many events in no time make a feed fast, but not one whose events have a request each.
func TestEventOfARequestWakesTheConsumerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, nil)
		var got atomic.Int32
		var loop sync.WaitGroup
		loop.Go(func() {
			for range sub.Events() {
				got.Add(1)
			}
		})
		defer loop.Wait()
		defer sub.Close()
		for n := range int32(200) {
			h.accept(t, transport.Message{Data: []byte("a"), Delivery: &transport.Delivery{}})
			synctest.Wait()
			if got.Load() != n+1 {
				t.Fatalf("after event %d: got %d events handled before any time passes, want all", n+1, got.Load())
			}
		}
	})
}

func TestReceiverIsLiveOnceListenReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{delay: time.Second}
		sub, err := client.Subscribe(t.Context(), h, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		synctest.Wait()
		if s := sub.Stats().State; s != client.StateConnecting {
			t.Errorf("got state %v before Listen returned, want connecting", s)
		}
		h.accept(t, pushed("early")...)
		if ev := next(t, sub); ev.ID != "early" {
			t.Errorf("got %q, want early", ev.ID)
		}
		time.Sleep(2 * time.Second)
		if s := sub.Stats().State; s != client.StateLive {
			t.Errorf("got state %v after Listen returned, want live", s)
		}
	})
}

// A buffer that fills, or has space again, while Listen has not returned.
func TestStateOfAFullReceiverThatConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{delay: 2 * time.Second}
		sub, err := client.Subscribe(t.Context(), h, &client.Options{Buffer: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		state := func(when string, want client.State) {
			t.Helper()
			synctest.Wait()
			if got := sub.Stats().State; got != want {
				t.Errorf("%s: got state %v, want %v", when, got, want)
			}
		}
		synctest.Wait()
		h.accept(t, pushed("a")...)
		h.reject(t, 0, transport.ErrFull, pushed("b")...)
		state("full before Listen returned", client.StateConnecting)
		next(t, sub).Ack()
		state("with space before Listen returned", client.StateConnecting)
		h.accept(t, pushed("b")...)
		h.reject(t, 0, transport.ErrFull, pushed("c")...)
		time.Sleep(3 * time.Second)
		state("full after Listen returned", client.StateFull)
		next(t, sub).Ack()
		state("with space after Listen returned", client.StateLive)
	})
}

func TestFullBufferRejectsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		var stalls atomic.Int32
		sub := listening(t, h, &client.Options{Buffer: 2, BufferBytes: 10,
			Trace: &client.Trace{Stalled: func(client.Stall) { stalls.Add(1) }}})
		h.accept(t, pushed("longer than BufferBytes")...)
		h.reject(t, 0, transport.ErrFull, pushed("a")...)
		next(t, sub).Ack()
		h.reject(t, 2, transport.ErrFull, pushed("a", "b", "c")...)
		h.accept(t, transport.Message{Kind: decode.KindKeepalive}) // takes no space
		synctest.Wait()
		if s := sub.Stats(); s.State != client.StateFull || s.Buffered != 2 {
			t.Errorf("got state %v with %d buffered, want full with 2", s.State, s.Buffered)
		}
		time.Sleep(time.Minute)
		if stalls.Load() != 1 {
			t.Errorf("Stalled was called %d times in a minute, want once", stalls.Load())
		}
		next(t, sub).Ack()
		synctest.Wait()
		if s := sub.Stats().State; s != client.StateLive {
			t.Errorf("got state %v with space, want live", s)
		}
		h.accept(t, pushed("c")...)
		if b, c := next(t, sub), next(t, sub); b.ID != "b" || c.ID != "c" {
			t.Errorf("got %q, %q, want b, c", b.ID, c.ID)
		}
	})
}

func TestFullBufferReleasesABatchOfDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, &client.Options{Buffer: 10, BufferBytes: 2})
		h.accept(t, pushed("a", "b")...)
		time.AfterFunc(time.Second, func() { h.reject(t, 0, transport.ErrFull, pushed("c")...) })
		start := time.Now()
		for batch := range sub.Batches(10, time.Hour) {
			if took := time.Since(start); len(batch) != 2 || took != time.Second {
				t.Errorf("got a batch of %d after %v, want 2 after 1s", len(batch), took)
			}
			break
		}
	})
}

func TestReceiverEndsOnceItsEventsAreSettled(t *testing.T) {
	for _, closes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := &hub{}
			sub := listening(t, h, nil)
			h.accept(t, pushed("a", "b")...)
			a := next(t, sub)
			l := h.listener()
			l.end <- transport.ErrComplete
			synctest.Wait()
			h.reject(t, 0, transport.ErrClosed, pushed("c")...)
			b := next(t, sub)
			if _, err := sub.Next(t.Context()); err != io.EOF {
				t.Errorf("got the end %v, want io.EOF", err)
			}
			sub.Reconnect() // does nothing any more
			a.Ack()
			synctest.Wait()
			if n := l.closes.Load(); n != 0 {
				t.Errorf("got %d closes before b was settled, want none", n)
			}
			if closes {
				sub.Close()
			} else {
				b.Ack()
			}
			synctest.Wait()
			if n := l.closes.Load(); n != 1 || h.listens != 1 {
				t.Errorf("got %d closes, %d calls of Listen, want 1 and 1", n, h.listens)
			}
		})
	}
}

func TestReceiverIsListenedToAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, nil)
		for i, end := range []func(){
			func() { h.listener().end <- errors.New("connection reset") },
			sub.Reconnect,
			func() { h.listener().end <- io.EOF },
		} {
			old, deliver := h.listener(), h.deliver
			end()
			time.Sleep(time.Minute)
			if h.listener() == old || old.closes.Load() != 1 {
				t.Fatalf("end %d: got the old listener closed %d times, want once, and a new one", i, old.closes.Load())
			}
			if n, err := deliver(pushed("late")); n != 0 || err != transport.ErrClosed {
				t.Errorf("end %d: delivery to the old listener: got %d, %v, want 0, %v", i, n, err, transport.ErrClosed)
			}
			h.accept(t, pushed(fmt.Sprint(i))...)
			if ev := next(t, sub); ev.ID != fmt.Sprint(i) || ev.Gap != nil {
				t.Errorf("end %d: got %q with %v, want no gap", i, ev.ID, ev.Gap)
			}
		}
		if s := sub.Stats(); s.Connections != 4 || s.Gaps != 0 {
			t.Errorf("got %d connections, %d gaps, want 4 and 0", s.Connections, s.Gaps)
		}
	})
}

func TestReceiverThatCannotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{refuse: errors.New("address in use")}
		sub, err := client.Subscribe(t.Context(), h, &client.Options{Retry: retry.Never()})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		var stop *client.StopError
		if _, err := sub.Next(t.Context()); !errors.As(err, &stop) || stop.Cause != h.refuse {
			t.Errorf("got the end %v, want a StopError with the error of Listen", err)
		}
		h.reject(t, 0, transport.ErrClosed, pushed("a")...)
	})
}

func TestReceiverAtTheEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		ctx, cancel := context.WithCancelCause(t.Context())
		sub, err := client.Subscribe(ctx, h, nil)
		if err != nil {
			t.Fatal(err)
		}
		sub.WaitConnected(t.Context())
		stop := errors.New("SIGTERM")
		cancel(stop)
		h.reject(t, 0, transport.ErrClosed, pushed("a")...)
		if _, err := sub.Next(t.Context()); err != stop {
			t.Errorf("got the end %v, want the cause of the context", err)
		}
		sub.Close()
		if n := h.listener().closes.Load(); n != 1 {
			t.Errorf("got %d closes, want 1", n)
		}
	})
}

func TestReceiverDropsDuplicatesWithoutSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, &client.Options{Dedupe: 10})
		h.accept(t, pushed("a", "a", "b")...)
		if a, b := next(t, sub), next(t, sub); a.ID != "a" || b.ID != "b" {
			t.Errorf("got %q, %q, want a, b", a.ID, b.ID)
		}
	})
}

func TestSkippedDeliveryIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		sub := listening(t, h, &client.Options{Skip: func(ev client.Event) bool { return ev.ID == "a" }})
		settled := 0
		h.accept(t, transport.Message{ID: "a", Settle: func(err error) { settled++ }})
		if s := sub.Stats(); settled != 1 || s.Skipped != 1 || s.Buffered != 0 {
			t.Errorf("settled %d times, %d skipped, %d buffered, want 1, 1, 0", settled, s.Skipped, s.Buffered)
		}
	})
}

// TestPanicDuringDelivery panics in each function that runs during a delivery. The sender then
// repeats the message, and it must be delivered once, with its gap, although ids and numbers are
// checked.
func TestPanicDuringDelivery(t *testing.T) {
	for _, what := range []string{"Token", "Skip", "Sequence", "Gap", "Signal"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				armed := false
				in := func(name string) {
					if armed && name == what {
						armed = false
						panic("a mistake in " + name)
					}
				}
				h := &hub{}
				sub := listening(t, h, &client.Options{
					Dedupe:     10,
					TokenOf:    func(e client.Event) string { in("Token"); return e.ID },
					Skip:       func(client.Event) bool { in("Skip"); return false },
					SequenceOf: func(e client.Event) (string, uint64, bool) { in("Sequence"); return "", uint64(e.Data[0]), true },
					Trace: &client.Trace{
						Gap:    func(client.Gap) { in("Gap") },
						Signal: func(transport.Message) { in("Signal") },
					},
				})
				h.accept(t, pushed("1")...)
				armed = true
				ms := append(pushed("2"), transport.Message{Kind: decode.KindKeepalive})
				ms = append(ms, pushed("4")...)
				if caught(func() { h.push(ms...) }) == nil {
					t.Fatal("deliver: got no panic, want one")
				}
				h.accept(t, ms...)
				h.accept(t, pushed("5")...)
				var got []string
				for range 4 {
					ev := next(t, sub)
					if (ev.Gap != nil) != (ev.ID == "4") {
						t.Errorf("event %s: got gap %v, want one on 4 only", ev.ID, ev.Gap)
					}
					got = append(got, ev.ID)
				}
				want(t, "events", got, []string{"1", "2", "4", "5"})
				if s := sub.Stats(); s.Gaps != 1 || s.Buffered != 4 {
					t.Errorf("got %d gaps, %d buffered, want 1 and 4", s.Gaps, s.Buffered)
				}
			})
		})
	}
}

// TestDeliveriesRunOneAtATime delivers from several goroutines. The functions of Options use memory
// without a lock.
func TestDeliveriesRunOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		calls, numbers := 0, map[string]uint64{}
		sub := listening(t, h, &client.Options{Buffer: 7,
			TokenOf: func(client.Event) string { calls++; return "" },
			SequenceOf: func(e client.Event) (string, uint64, bool) {
				numbers[e.Type]++
				return e.Type, numbers[e.Type], true
			},
			Skip: func(client.Event) bool { calls++; return false },
		})
		const senders, each = 8, 50
		var group sync.WaitGroup
		for s := range senders {
			group.Go(func() {
				for left := each; left > 0; {
					ms := slices.Repeat([]transport.Message{{Type: fmt.Sprint(s)}}, min(left, 3))
					n, err := h.push(ms...)
					if left -= n; err != nil {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		for range senders * each {
			ev := next(t, sub)
			if ev.Gap != nil {
				t.Errorf("got gap %v, want none", ev.Gap)
			}
			ev.Ack()
		}
		group.Wait()
		if calls != 2*senders*each {
			t.Errorf("got %d calls, want %d", calls, 2*senders*each)
		}
	})
}

// TestExploreReceiver runs random senders and consumers against a Receiver that fails, ends and is
// closed at random moments.
func TestExploreReceiver(t *testing.T) {
	for seed := range uint64(max(1, *exploreRuns)) {
		synctest.Test(t, func(t *testing.T) { exploreReceiver(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func exploreReceiver(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	h := &hub{}
	sub, err := client.Subscribe(t.Context(), h, &client.Options{Buffer: 1 + rng.IntN(6), BufferBytes: 1 + rng.IntN(40)})
	if err != nil {
		t.Fatal(err)
	}
	sub.WaitConnected(t.Context())
	var (
		mu       sync.Mutex
		accepted = map[string]bool{}
		settled  = map[string]int{}
		handled  = map[string]bool{}
		group    sync.WaitGroup
		ended    = make(chan struct{})
	)
	message := func(id string) transport.Message {
		return transport.Message{ID: id, Data: make([]byte, len(id)), Settle: func(error) {
			mu.Lock()
			defer mu.Unlock()
			settled[id]++
		}}
	}
	for s := range 1 + rng.IntN(4) {
		rng := rand.New(rand.NewPCG(seed, uint64(100+s)))
		group.Go(func() {
			for n := 0; n < 30; {
				var ms []transport.Message
				for i := range 1 + rng.IntN(4) {
					ms = append(ms, message(fmt.Sprintf("%d-%d", s, n+i)))
				}
				got, err := h.push(ms...)
				mu.Lock()
				for _, m := range ms[:got] {
					accepted[m.ID] = true
				}
				mu.Unlock()
				if n += got; got < len(ms) && err == nil || got == len(ms) && err != nil {
					t.Errorf("deliver: got %d of %d, %v, want an error if and only if some are left", got, len(ms), err)
				}
				select {
				case <-ended:
					if _, err := h.push(message("late")); err != transport.ErrClosed {
						t.Errorf("deliver after the end: got %v, want ErrClosed", err)
					}
					return
				case <-time.After(time.Duration(1 + rng.IntN(int(time.Second)))):
				}
			}
		})
	}
	for c := range 1 + rng.IntN(3) {
		rng := rand.New(rand.NewPCG(seed, uint64(200+c)))
		group.Go(func() {
			last := map[byte]int{}
			for ev, err := range sub.Events() {
				if err != nil {
					t.Errorf("the end: %v", err)
					return
				}
				var sender byte
				var n int
				fmt.Sscanf(ev.ID, "%c-%d", &sender, &n)
				if before, ok := last[sender]; ok && n <= before {
					t.Errorf("got event %d of sender %c after %d, want them in order", n, sender, before)
				}
				last[sender] = n
				mu.Lock()
				if handled[ev.ID] {
					t.Errorf("got event %s twice, want once", ev.ID)
				}
				handled[ev.ID] = true
				mu.Unlock()
				time.Sleep(time.Duration(rng.IntN(int(400 * time.Millisecond))))
				if rng.IntN(4) == 0 {
					ev.Nack(errors.New("not now"))
				}
			}
		})
	}
	for range rng.IntN(4) {
		time.Sleep(time.Duration(rng.IntN(int(5 * time.Second))))
		if rng.IntN(2) == 0 {
			sub.Reconnect()
		} else if l := h.listener(); l != nil {
			select {
			case l.end <- io.ErrUnexpectedEOF:
			default:
			}
		}
	}
	time.Sleep(time.Duration(rng.IntN(int(10 * time.Second))))
	drains := rng.IntN(2) == 0
	if drains {
		sub.Reconnect() // a clean listener
		time.Sleep(time.Minute)
		h.listener().end <- transport.ErrComplete
		for sub.Stats().State != client.StateEnded {
			time.Sleep(time.Second)
		}
	} else {
		sub.Close()
	}
	close(ended)
	group.Wait()
	sub.Close()
	mu.Lock()
	defer mu.Unlock()
	for id := range handled {
		if !accepted[id] {
			t.Errorf("got %s, which was not accepted", id)
		}
	}
	for id := range accepted {
		if drains && (!handled[id] || settled[id] != 1) || settled[id] > 1 {
			t.Errorf("%s was accepted: got handled %v, settled %d times, want true, once", id, handled[id], settled[id])
		}
	}
}
