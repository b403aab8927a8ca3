package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

// TestPromise has senders repeat what is not answered with a 2xx, to a consumer that handles,
// refuses, delays and reconnects at random. Nothing may be answered with a 2xx
// before every event of it is acknowledged, everything must get through in the end, and
// without reconnects nothing may come that is acknowledged already.
func TestPromise(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				newTrial(t, seed).run()
			})
		})
	}
}

// A trial is one random schedule.
type trial struct {
	*testing.T
	rand       *rand.Rand // guarded by mu
	hook       *webhook.Receiver
	buffer     int
	reconnects bool

	mu    sync.Mutex
	acked map[string]bool // by data
}

func newTrial(t *testing.T, seed uint64) *trial {
	tr := &trial{T: t, rand: rand.New(rand.NewPCG(seed, 1)), acked: make(map[string]bool)}
	tr.hook = &webhook.Receiver{Provider: batches()}
	tr.buffer = 1 + int(seed%7)
	tr.hook.Provider.Deadline = 3 * time.Second
	tr.reconnects = seed%3 > 0
	return tr
}

// chance is true once in n times.
func (tr *trial) chance(n int) bool { return tr.pick(n) == 0 }

func (tr *trial) pick(n int) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.rand.IntN(n)
}

func (tr *trial) run() {
	var senders, consumer, work sync.WaitGroup
	for s := range 5 {
		senders.Go(func() {
			for i := range 4 {
				// Two senders each send the same deliveries.
				tr.send(fmt.Sprintf("msg_%d_%d", s/2, i), 1+i%3)
			}
		})
	}
	ctx, cancel := context.WithCancel(tr.Context())
	consumer.Go(func() { tr.consume(ctx, &work) })
	senders.Wait()
	cancel()
	consumer.Wait()
	work.Wait()
}

// send repeats a delivery of n events until it is answered with a 2xx.
func (tr *trial) send(id string, n int) {
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"id":"%s_%d"}`, id, i))
	}
	body := "[" + strings.Join(events, ", ") + "]"
	for range 1000 {
		ctx, cancel := context.WithCancel(tr.Context())
		if tr.chance(4) { // it disconnects
			time.AfterFunc(time.Duration(tr.pick(2000))*time.Millisecond, cancel)
		}
		a := <-post(tr.hook, sign(tr, tr.hook.Provider, id, body).WithContext(ctx))
		cancel()
		if a.StatusCode == http.StatusNoContent {
			tr.check(id, events)
			if tr.chance(3) {
				continue // it did not arrive
			}
			return
		}
		if a.StatusCode != http.StatusServiceUnavailable {
			tr.Errorf("%s was answered %s", id, a.Status)
		}
		time.Sleep(time.Duration(tr.pick(5000)) * time.Millisecond)
	}
	tr.Errorf("%s was never accepted", id)
}

func (tr *trial) check(id string, events []string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, e := range events {
		if !tr.acked[e] {
			tr.Errorf("%s was answered with a 2xx before %s was acknowledged", id, e)
		}
	}
}

// consume reads until ctx ends, from one Listener after the other.
func (tr *trial) consume(ctx context.Context, work *sync.WaitGroup) {
	for ctx.Err() == nil {
		life := time.Hour
		if tr.reconnects {
			life = time.Duration(1+tr.pick(4000)) * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(ctx, life)
		conn, err := listen(ctx, tr.hook, tr.buffer)
		if err != nil && ctx.Err() == nil {
			tr.Error(err)
		}
		if err != nil {
			cancel()
			return
		}
		for err == nil {
			var m transport.Message
			if m, err = conn.next(); err == nil {
				work.Go(func() { tr.handle(m) })
			}
			if tr.chance(3) {
				time.Sleep(time.Duration(tr.pick(500)) * time.Millisecond)
			}
		}
		conn.Close()
		cancel()
	}
}

// handle is the work for one event, which takes up to five seconds and may fail.
func (tr *trial) handle(m transport.Message) {
	data := string(m.Data)
	tr.mu.Lock()
	if tr.acked[data] && !tr.reconnects {
		tr.Errorf("%s came although it was acknowledged", data)
	}
	tr.mu.Unlock()
	if tr.chance(2) {
		time.Sleep(time.Duration(tr.pick(5000)) * time.Millisecond)
	}
	if tr.chance(5) {
		m.Settle(errors.New("no"))
		return
	}
	tr.mu.Lock()
	tr.acked[data] = true
	tr.mu.Unlock()
	m.Settle(nil)
}
