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
// refuses, delays and reconnects at random. A 2xx must not precede the acknowledgement of every
// event of its delivery, every event must be delivered eventually, and without reconnects no
// acknowledged event may be delivered again.
func TestPromise(t *testing.T) {
	for seed := range uint64(max(1, *exploreRuns/2)) {
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

// chance is true in one of n cases.
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
				continue // the answer was lost
			}
			return
		}
		if a.StatusCode != http.StatusServiceUnavailable {
			tr.Errorf("%s: got %s, want a 2xx or 503", id, a.Status)
		}
		time.Sleep(time.Duration(tr.pick(5000)) * time.Millisecond)
	}
	tr.Errorf("got %s never accepted, want it accepted", id)
}

func (tr *trial) check(id string, events []string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, e := range events {
		if !tr.acked[e] {
			tr.Errorf("got a 2xx for %s before %s was acknowledged", id, e)
		}
	}
}

// consume reads until ctx ends, from one Listener after another.
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

// handle works on one event, for up to five seconds, and may fail.
func (tr *trial) handle(m transport.Message) {
	data := string(m.Data)
	tr.mu.Lock()
	if tr.acked[data] && !tr.reconnects {
		tr.Errorf("got %s again after its acknowledgement", data)
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
