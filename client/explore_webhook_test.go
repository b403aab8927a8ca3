package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// In random schedules, a sender that got a 2xx has had its event handled or dead-lettered before, its
// request is answered with the outcome at once, and every event is handled or dead-lettered
// eventually, whatever happens to the worker. Half of the workers have a Backfill from the
// provider's list of events: then a subscription handles no event twice. Some have no DeadLetter.
func TestExploreWebhook(t *testing.T) {
	for seed := range uint64(max(1, *exploreRuns/4)) {
		synctest.Test(t, func(t *testing.T) {
			w := newHookWorld(t, seed)
			defer w.close()
			var all []sender.Delivery
			for i := range 20 {
				d := sender.Delivery{ID: fmt.Sprint("msg_", i), Body: fmt.Appendf(nil, `{"n":%d}`, i)}
				all = append(all, d)
				if w.rng.IntN(4) == 0 {
					all = append(all, d) // the sender has not received the answer
				}
			}
			if err := w.sendAll(all, 1+w.rng.IntN(4)); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			w.verify(all)
		})
		if t.Failed() {
			return
		}
	}
}

// sendAll sends deliveries in a random order, atOnce of them at a time.
func (w *hookWorld) sendAll(all []sender.Delivery, atOnce int) error {
	next, failed := make(chan int), make([]error, len(all))
	var senders sync.WaitGroup
	for range atOnce {
		senders.Go(func() {
			for i := range next {
				_, failed[i] = w.sender.Send(w.t.Context(), all[i])
			}
		})
	}
	for _, i := range rand.New(rand.NewPCG(w.seed, 0)).Perm(len(all)) {
		next <- i
	}
	close(next)
	senders.Wait()
	return errors.Join(failed...)
}

// A hookWorld is a worker that receives webhooks, and is stopped and started again.
type hookWorld struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	srv    *mock.Server
	sender *sender.Client
	hook   atomic.Pointer[webhook.Receiver]
	over   chan struct{}
	worker sync.WaitGroup

	mu   sync.Mutex
	done map[string]time.Time // when an event was first handled
	once map[string]bool      // handled by this subscription
	told []outcome
	ends []time.Time // when a subscription was stopped

	maxAttempts int // of the subscription
	buries      bool
}

// An outcome is what a worker has done with an event that a request has delivered.
type outcome struct {
	id           string
	received, at time.Time
	ok           bool
}

func newHookWorld(t *testing.T, seed uint64) *hookWorld {
	w := &hookWorld{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), over: make(chan struct{}), done: make(map[string]time.Time)}
	w.hook.Store(&webhook.Receiver{Provider: provider.StandardWebhooks(hookSecret)}) // without a subscription yet
	w.srv = mock.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.hook.Load().ServeHTTP(rw, r) }))
	w.sender = &sender.Client{Provider: provider.StandardWebhooks(hookSecret), URL: w.srv.URL, Client: w.srv.Client()}
	w.sender.Retries = slices.Repeat([]time.Duration{7 * time.Minute}, 100)
	w.worker.Go(w.work)
	return w
}

func (w *hookWorld) close() {
	close(w.over)
	w.worker.Wait()
	if err := w.srv.Close(); err != nil {
		w.t.Errorf("seed %d: %v", w.seed, err)
	}
}

// work subscribes again and again, each time with an empty memory.
func (w *hookWorld) work() {
	rng := rand.New(rand.NewPCG(w.seed, 2))
	for {
		hook := &webhook.Receiver{Provider: provider.StandardWebhooks(hookSecret)}
		w.hook.Store(hook)
		buries, maxAttempts := w.seed%2 == 1 || rng.IntN(2) == 0, 0
		if buries {
			maxAttempts = rng.IntN(4)
		}
		opts := &client.Options{Buffer: 1 + rng.IntN(4), MaxAttempts: maxAttempts}
		if w.seed%2 == 1 {
			dice := rand.New(rand.NewPCG(rng.Uint64(), 0))
			opts.Dedupe, opts.Backfill = 1000, func(ctx context.Context, _ client.Gap, deliver func(transport.Message) error) (string, error) {
				return "", w.list(ctx, dice, deliver)
			}
		}
		if dice := rand.New(rand.NewPCG(rng.Uint64(), 0)); buries {
			opts.DeadLetter = func(_ context.Context, ev client.Event, _ error) error {
				if dice.IntN(3) == 0 {
					return errors.New("the queue is unreachable")
				}
				w.handled(ev)
				return nil
			}
		}
		sub, err := client.Subscribe(w.t.Context(), hook, opts)
		if err != nil {
			w.t.Errorf("seed %d: %v", w.seed, err)
			return
		}
		drains := rng.IntN(2) == 0
		stop := func() {
			w.mu.Lock()
			w.ends = append(w.ends, time.Now())
			w.mu.Unlock()
			if drains {
				sub.Drain(w.t.Context())
			} else {
				sub.Close()
			}
		}
		life := time.AfterFunc(time.Duration(rng.IntN(int(2*time.Hour))), stop)
		rest := time.AfterFunc(time.Duration(rng.IntN(int(2*time.Hour))), sub.Pause)
		time.AfterFunc(2*time.Hour, sub.Resume)
		w.begin(maxAttempts, buries)
		if rng.IntN(2) == 0 {
			w.loop(rng, sub)
		} else {
			w.process(rng, sub)
		}
		life.Stop()
		rest.Stop()
		sub.Close()
		select {
		case <-w.over:
			return
		case <-time.After(time.Duration(rng.IntN(int(10 * time.Minute)))):
		}
	}
}

// list delivers the events of the provider, or some of them before it fails.
func (w *hookWorld) list(ctx context.Context, dice *rand.Rand, deliver func(transport.Message) error) error {
	for i := range 20 {
		pauseIn(ctx, time.Duration(dice.IntN(int(20*time.Minute))))
		if dice.IntN(15) == 0 {
			return errors.New("not now")
		}
		if err := deliver(transport.Message{ID: fmt.Sprint("msg_", i), Data: fmt.Appendf(nil, `{"n":%d}`, i)}); err != nil {
			return err
		}
	}
	return nil
}

// begin starts another subscription.
func (w *hookWorld) begin(maxAttempts int, buries bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.maxAttempts, w.buries = maxAttempts, buries
	w.once = make(map[string]bool)
}

// loop handles events in a loop.
func (w *hookWorld) loop(rng *rand.Rand, sub *client.Subscription) {
	for ev, err := range sub.Events() {
		if err != nil {
			return
		}
		if err := w.handle(rng.IntN(6), rng.IntN(20_000), ev); err != nil {
			ev.Nack(err)
		}
	}
}

// process handles events on several goroutines.
func (w *hookWorld) process(rng *rand.Rand, sub *client.Subscription) {
	var mu sync.Mutex
	dice := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	o := &client.ProcessOptions{Workers: 1 + dice(3)}
	if dice(2) == 0 {
		o.KeyOf = func(ev client.Event) string { return ev.ID[len(ev.ID)-1:] }
	}
	sub.Process(w.t.Context(), func(_ context.Context, ev client.Event) error {
		err := w.handle(dice(6), dice(20_000), ev)
		if err != nil && dice(4) == 0 {
			panic(err)
		}
		return err
	}, o)
}

// handle takes some milliseconds, sometimes longer than the sender waits. It refuses the event for the
// outcomes 0 and 1, the latter permanently.
func (w *hookWorld) handle(outcome, ms int, ev client.Event) error {
	time.Sleep(time.Duration(ms) * time.Millisecond)
	if outcome > 1 {
		w.handled(ev)
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if final := outcome == 1 || w.maxAttempts > 0 && ev.Attempt >= w.maxAttempts; !final || !w.buries {
		w.tell(ev, false)
	}
	switch {
	case outcome == 1:
		return client.Terminal(errors.New("never"))
	case ms%2 == 0:
		return client.RetryAfter(time.Hour, errors.New("later"))
	}
	return errors.New("not yet")
}

// tell records the outcome of an event that a request has delivered. The caller holds mu.
func (w *hookWorld) tell(ev client.Event, ok bool) {
	if ev.Delivery != nil {
		w.told = append(w.told, outcome{ev.ID, ev.Received, time.Now(), ok})
	}
}

// handled records that an event was handled or dead-lettered.
func (w *hookWorld) handled(ev client.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.once[ev.ID] && w.seed%2 == 1 {
		w.t.Errorf("seed %d: %s is handled twice", w.seed, ev.ID)
	}
	w.once[ev.ID] = true
	w.tell(ev, true)
	if _, known := w.done[ev.ID]; !known {
		w.done[ev.ID] = time.Now()
	}
}

// verify compares the answers that the sender got with what was handled.
func (w *hookWorld) verify(all []sender.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range all {
		if _, ok := w.done[d.ID]; !ok {
			w.t.Errorf("seed %d: %s was never handled", w.seed, d.ID)
		}
	}
	for _, sent := range w.sender.Log() {
		answered := sent.At.Add(sent.Took)
		if worked, ok := w.done[sent.ID]; sent.Accepted() && (!ok || worked.After(answered)) {
			w.t.Errorf("seed %d: %s was accepted at %v, and handled at %v", w.seed, sent.ID, answered, worked)
		}
		w.checkAnswer(sent)
	}
}

// checkAnswer checks that a request that has delivered an event is answered when its outcome is known,
// and with that, unless the worker was stopped or the request's time was over at that moment.
func (w *hookWorld) checkAnswer(sent sender.Attempt) {
	answered := sent.At.Add(sent.Took)
	for _, o := range w.told {
		if o.id != sent.ID || sent.Status == 0 || o.received.Before(sent.At) || o.received.After(answered) || o.at.After(answered) {
			continue
		}
		over := sent.Took >= w.sender.Provider.Deadline || slices.ContainsFunc(w.ends, o.at.Equal)
		if answered.After(o.at) || !over && sent.Accepted() != o.ok {
			w.t.Errorf("seed %d: %s was answered with %d at %v, and had the outcome %t at %v", w.seed, sent.ID, sent.Status, answered, o.ok, o.at)
		}
	}
}
