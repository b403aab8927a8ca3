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

// In random schedules, a sender that got a 2xx has had its event handled before, and every event is
// handled eventually, whatever happens to the worker. Half of the workers have a Backfill from the
// provider's list of events: then a subscription handles no event twice.
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
		opts := &client.Options{Buffer: 1 + rng.IntN(4)}
		if w.seed%2 == 1 {
			dice := rand.New(rand.NewPCG(rng.Uint64(), 0))
			opts.Dedupe, opts.Backfill = 1000, func(ctx context.Context, _ client.Gap, deliver func(transport.Message) error) (string, error) {
				return "", w.list(ctx, dice, deliver)
			}
		}
		opts.DeadLetter = func(_ context.Context, ev client.Event, _ error) error { w.handled(ev); return nil }
		sub, err := client.Subscribe(w.t.Context(), hook, opts)
		if err != nil {
			w.t.Errorf("seed %d: %v", w.seed, err)
			return
		}
		stop := func() { sub.Close() }
		if rng.IntN(2) == 0 {
			stop = func() { sub.Drain(w.t.Context()) }
		}
		life := time.AfterFunc(time.Duration(rng.IntN(int(2*time.Hour))), stop)
		rest := time.AfterFunc(time.Duration(rng.IntN(int(2*time.Hour))), sub.Pause)
		time.AfterFunc(2*time.Hour, sub.Resume)
		w.begin()
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
func (w *hookWorld) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
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
		return w.handle(dice(6), dice(20_000), ev)
	}, o)
}

// handle takes some milliseconds, sometimes longer than the sender waits. It refuses the event for the
// outcomes 0 and 1, the latter permanently.
func (w *hookWorld) handle(outcome, ms int, ev client.Event) error {
	time.Sleep(time.Duration(ms) * time.Millisecond)
	switch outcome {
	case 0:
		return errors.New("not yet")
	case 1:
		return client.Terminal(errors.New("never"))
	}
	w.handled(ev)
	return nil
}

// handled records that an event was handled or dead-lettered.
func (w *hookWorld) handled(ev client.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.once[ev.ID] && w.seed%2 == 1 {
		w.t.Errorf("seed %d: %s is handled twice", w.seed, ev.ID)
	}
	w.once[ev.ID] = true
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
	}
}
