package webhook_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

var exploreRuns = flag.Int("explore.runs", 40, "schedules of TestExplore; half as many of TestPromise")

// TestExplore runs random schedules of senders that repeat, consumers that are slow, refuse and
// acknowledge late, and a subscription that reconnects, is closed and opened again, and is drained
// at the end. A delivery that was answered with a 2xx has been acknowledged (AckAfterHandling), or
// is delivered to a consumer before the feed ends (AckOnEnqueue).
func TestExplore(t *testing.T) {
	for seed := range uint64(*exploreRuns) {
		synctest.Test(t, func(t *testing.T) { newExploration(t, seed).run() })
		if t.Failed() {
			t.Logf("seed %d", seed)
			return
		}
	}
}

// An exploration is one random schedule.
type exploration struct {
	*testing.T
	hook    *webhook.Receiver
	early   bool          // Drain is called while senders are at work
	drained chan struct{} // closed with Drain

	mu       sync.Mutex
	rand     *rand.Rand
	acked    map[string]bool // events, by data
	accepted map[string]bool // events of deliveries that were answered with a 2xx
}

func newExploration(t *testing.T, seed uint64) *exploration {
	e := &exploration{
		T: t, rand: rand.New(rand.NewPCG(seed, 3)), early: seed%4 == 3, drained: make(chan struct{}),
		acked: make(map[string]bool), accepted: make(map[string]bool),
	}
	e.hook = &webhook.Receiver{Provider: batches(), Ack: webhook.AckMode(seed / 2 % 2)}
	e.hook.Provider.Deadline = 3 * time.Second
	return e
}

func (e *exploration) pick(n int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rand.IntN(n)
}

func (e *exploration) chance(n int) bool { return e.pick(n) == 0 }

// pause sleeps for a random time up to most.
func (e *exploration) pause(most time.Duration) { time.Sleep(time.Duration(1 + e.pick(int(most)))) }

func (e *exploration) run() {
	var senders, lives sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			for i := range 5 {
				e.send(fmt.Sprintf("msg_%d_%d", s/2, i), 1+i%3) // two send the same
			}
		})
	}
	lives.Go(e.live)
	if e.early {
		e.pause(30 * time.Second)
	} else {
		senders.Wait()
	}
	e.hook.Drain()
	close(e.drained)
	senders.Wait()
	lives.Wait()
	for event := range e.accepted {
		if !e.acked[event] {
			e.Errorf("got %s lost after a 2xx, want it acknowledged", event)
		}
	}
	sub, err := client.Subscribe(e.Context(), e.hook, nil)
	if err != nil {
		e.Fatal(err)
	}
	defer sub.Close()
	if _, err := sub.Next(e.Context()); err != io.EOF {
		e.Errorf("subscription after Drain: got %v, want io.EOF", err)
	}
}

// send repeats a delivery of n events until it is answered with a 2xx, or the receiver is drained.
func (e *exploration) send(id string, n int) {
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"id":"%s_%d"}`, id, i))
	}
	for range 1000 {
		ctx, cancel := context.WithCancel(e.Context())
		if e.chance(4) { // it disconnects
			time.AfterFunc(time.Duration(1+e.pick(int(2*time.Second))), cancel)
		}
		a := <-post(e.hook, sign(e, e.hook.Provider, id, "["+strings.Join(events, ",")+"]").WithContext(ctx))
		cancel()
		switch a.StatusCode {
		case http.StatusNoContent:
			e.accept(events)
			if !e.chance(3) { // otherwise the answer did not arrive
				return
			}
		case http.StatusServiceUnavailable:
		default:
			e.Errorf("%s: got %s, want a 2xx or 503", id, a.Status)
		}
		select {
		case <-e.drained:
			if !e.early {
				e.Errorf("got %s never accepted, want it accepted", id)
			}
			return
		case <-time.After(time.Duration(1 + e.pick(int(5*time.Second)))):
		}
	}
	e.Errorf("got %s never accepted, want it accepted", id)
}

func (e *exploration) accept(events []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range events {
		e.accepted[event] = true
		if e.hook.Ack == webhook.AckAfterHandling && !e.acked[event] {
			e.Errorf("got a 2xx for %s before it was acknowledged", event)
		}
	}
}

// live subscribes repeatedly until the feed ends. With AckOnEnqueue it does not close a
// subscription before that, because the buffered events would be lost.
func (e *exploration) live() {
	for ended := false; !ended; {
		sub, err := client.Subscribe(e.Context(), e.hook, &client.Options{Buffer: 1 + e.pick(6)})
		if err != nil {
			e.Error(err)
			return
		}
		life, over := context.WithCancel(e.Context())
		var consumers, disturbance sync.WaitGroup
		var late sync.WaitGroup
		for range 1 + e.pick(3) {
			consumers.Go(func() {
				if e.consume(sub, &late) == io.EOF {
					over()
				}
			})
		}
		disturbance.Go(func() { e.disturb(life, sub) })
		consumers.Wait()
		ended = life.Err() != nil
		over()
		disturbance.Wait()
		late.Wait()
		e.consume(sub, nil) // what was refused late is delivered again
		sub.Close()
	}
}

// disturb reconnects at random times, and may close the subscription.
func (e *exploration) disturb(life context.Context, sub *client.Subscription) {
	for {
		select {
		case <-life.Done():
			return
		case <-time.After(time.Duration(1 + e.pick(int(6*time.Second)))):
		}
		switch e.pick(4) {
		case 0, 1:
			sub.Reconnect()
		case 2:
			if e.hook.Ack == webhook.AckAfterHandling {
				sub.Close()
				return
			}
		}
	}
}

// consume reads events until there are no more, and returns why.
func (e *exploration) consume(sub *client.Subscription, late *sync.WaitGroup) error {
	for {
		ev, err := sub.Next(e.Context())
		if err != nil {
			return err
		}
		if late != nil && e.chance(5) { // several events at a time
			late.Go(func() {
				e.pause(8 * time.Second)
				e.settle(ev)
			})
			continue
		}
		if e.chance(2) {
			e.pause(4 * time.Second)
		}
		e.settle(ev)
	}
}

// settle refuses an event or acknowledges it. An Ack that comes too late does not count.
func (e *exploration) settle(ev client.Event) {
	if e.chance(5) {
		ev.Nack(errors.New("no"))
		return
	}
	data := string(ev.Data)
	e.mu.Lock()
	before := e.acked[data]
	e.acked[data] = true
	e.mu.Unlock()
	if ev.Ack() != nil && !before {
		e.mu.Lock()
		delete(e.acked, data)
		e.mu.Unlock()
	}
}
