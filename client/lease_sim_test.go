package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// Three processes with a lease on one record, and a store that loses, delays, repeats and forgets.
// Whatever happens,
//   - epochs and positions never go back, and no position passes an event that was not acknowledged,
//   - only the subscription that took the record over last connects and hands events out,
//   - once the faults are over, every event is handled,
//   - and without faults, nothing is fenced.
func TestExploreLease(t *testing.T) {
	for seed := *exploreSeed; seed < *exploreSeed+uint64(max(1, *exploreRuns/4)) && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			r := newReplicas(t, seed)
			r.run()
			if t.Failed() {
				t.Log(strings.Join(r.notes, "\n"))
				t.Logf("repeat with -explore.seed=%d -explore.runs=1", seed)
			}
		})
	}
}

const (
	simulated = 10 * time.Minute
	lastFault = 8 * time.Minute
	eachEvent = 500 * time.Millisecond
)

// replicas are the processes and what they share.
type replicas struct {
	t       *testing.T
	start   time.Time
	end     context.Context
	perfect bool // no faults of the store
	late    sync.WaitGroup

	mu    sync.Mutex
	rng   *rand.Rand
	cells []simRecord // all that were ever stored
	terms map[uint64]*term
	acked map[int]bool
	open  *term    // whose connection is open
	ends  int      // by ErrFenced
	notes []string // what happened
}

type simRecord struct {
	data []byte
	rec  stored
}

// A term is one Subscribe of a process.
type term struct {
	*replicas
	process int
	lease   time.Duration
	trouble time.Time // until then, the store often fails
	dead    bool      // killed
}

func newReplicas(t *testing.T, seed uint64) *replicas {
	rng := rand.New(rand.NewPCG(seed, 18))
	return &replicas{t: t, start: time.Now(), rng: rng, perfect: rng.IntN(5) == 0, cells: make([]simRecord, 1),
		terms: make(map[uint64]*term), acked: make(map[int]bool)}
}

func (r *replicas) dice(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.IntN(n)
}

// some returns a random time up to d.
func (r *replicas) some(d time.Duration) time.Duration { return time.Duration(r.dice(int(d)) + 1) }

func (r *replicas) total() int { return int(time.Since(r.start) / eachEvent) }

func (r *replicas) faulty() bool { return !r.perfect && time.Since(r.start) < lastFault }

func (r *replicas) errorf(format string, args ...any) {
	r.t.Errorf("%v: %s", time.Since(r.start), fmt.Sprintf(format, args...))
}

// notef keeps what happens, for a failure. The caller holds mu.
func (r *replicas) notef(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf("%v: ", time.Since(r.start))+fmt.Sprintf(format, args...))
}

func (r *replicas) run() {
	ctx, cancel := context.WithTimeout(context.Background(), simulated)
	defer cancel()
	r.end = ctx
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			for ctx.Err() == nil {
				r.live(i)
			}
		})
	}
	all.Wait()
	r.late.Wait()
	for n := 1; n < int((simulated-30*time.Second)/eachEvent); n++ {
		if !r.acked[n] {
			r.t.Errorf("event %d was never handled", n)
			break
		}
	}
	if r.perfect && r.ends > 0 {
		r.t.Errorf("%d subscriptions were fenced without a fault", r.ends)
	}
}

// live is the life of one subscription.
func (r *replicas) live(process int) {
	p := &term{replicas: r, process: process, lease: time.Duration(r.dice(10)+5) * time.Second}
	sub, err := client.Subscribe(r.end, p, &client.Options{Name: "n", Store: p, Lease: p.lease, Buffer: 1 + r.dice(20)})
	if err != nil {
		if ce := (*client.CheckpointError)(nil); !errors.As(err, &ce) && r.end.Err() == nil {
			r.errorf("Subscribe: %v", err)
		}
		time.Sleep(time.Second)
		return
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(r.end, 2*r.some(2*time.Minute))
	if !r.faulty() {
		ctx, cancel = context.WithCancel(r.end)
	}
	defer cancel()
	for {
		ev, err := sub.Next(ctx)
		switch {
		case err == nil:
			p.handle(sub, ev)
			continue
		case errors.Is(err, client.ErrFenced):
			r.mu.Lock()
			r.ends++
			r.notef("process %d: %v", process, err)
			r.mu.Unlock()
			return
		case r.end.Err() != nil:
			return
		case ctx.Err() == nil:
			r.errorf("Next: %v", err)
			return
		}
		break
	}
	switch r.dice(3) { // how the process ends
	case 0:
		r.mu.Lock()
		p.dead = true
		r.mu.Unlock()
	case 1:
		limit, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		go func() {
			for ev, err := range sub.Events() {
				if err == nil {
					p.handle(sub, ev)
				}
			}
		}()
		if err := sub.Drain(limit); err != nil && r.perfect && !errors.Is(err, context.DeadlineExceeded) {
			r.errorf("Drain: %v", err)
		}
	}
	sub.Close()
	if r.dice(2) == 0 {
		time.Sleep(r.some(time.Minute))
	}
}

// handle handles an event: at the moment of its delivery, no other subscription may own the record.
func (p *term) handle(sub *client.Subscription, ev client.Event) {
	p.check("an event", ev.Epoch())
	if until := sub.Stats().LeaseUntil; !until.IsZero() && time.Now().After(until) {
		p.errorf("an event was handed out after the end of the lease")
	}
	if p.dice(10) == 0 {
		time.Sleep(p.some(3 * time.Second))
	}
	if p.dice(100) == 0 {
		ev.Nack(errTrouble)
		return
	}
	n, _ := strconv.Atoi(string(ev.Data))
	if p.mu.Lock(); !p.dead {
		p.acked[n] = true // before it can be saved
	}
	p.mu.Unlock()
	ev.Ack()
}

// check reports that something happens that only the owner may do.
func (p *term) check(what string, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.cells[len(p.cells)-1].rec
	if p.terms[last.Epoch] != p || epoch > 0 && epoch != last.Epoch {
		p.t.Errorf("%v: %s in process %d, epoch %d, but epoch %d was taken by process %d", time.Since(p.start), what, p.process, epoch,
			last.Epoch, p.terms[last.Epoch].process)
	}
}

// Load and Save are the way of the process to the store.
func (p *term) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := p.fault(ctx); err != nil {
		return nil, "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := len(p.cells) - 1
	if time.Now().Before(p.trouble) && at > 1 && p.rng.IntN(4) == 0 {
		at -= p.rng.IntN(min(at, 3)) // stale
	}
	if at == 0 {
		return nil, "", nil
	}
	return p.cells[at].data, fmt.Sprint(at), nil
}

func (p *term) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if err := p.fault(ctx); err != nil {
		if p.dice(2) == 0 {
			return "", err // lost
		}
		wait := p.some(20 * time.Second)
		p.late.Go(func() { // it lands later
			time.Sleep(wait)
			p.put(data, prev)
		})
		return "", err
	}
	version, err := p.put(data, prev)
	if err == nil && p.faulty() && (time.Now().Before(p.trouble) && p.dice(3) == 0 || p.dice(200) == 0) {
		return "", errTrouble // applied
	}
	return version, err
}

// fault delays a call, or makes it fail.
func (p *term) fault(ctx context.Context) error {
	p.mu.Lock()
	dead, troubled := p.dead, time.Now().Before(p.trouble)
	if !troubled && p.faulty() && p.rng.IntN(100) == 0 {
		p.trouble = time.Now().Add(time.Duration(p.rng.IntN(int(20 * time.Second))))
	}
	p.mu.Unlock()
	if dead {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	delay := p.some(10 * time.Millisecond)
	if troubled {
		switch p.dice(4) {
		case 0:
			return errTrouble
		case 1:
			delay = p.some(5 * time.Second)
		}
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// put is the store itself. It checks every record that is stored.
func (p *term) put(data []byte, prev string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := len(p.cells) - 1
	if prev == "" {
		prev = "0"
	}
	if prev != fmt.Sprint(at) {
		return "", client.ErrConflict
	}
	var rec stored
	if err := json.Unmarshal(data, &rec); err != nil {
		p.t.Error(err)
	}
	was := p.cells[at].rec
	p.cells = append(p.cells, simRecord{data, rec})
	p.notef("stored %d by process %d: epoch %d token %q", at+1, p.process, rec.Epoch, rec.Token)
	if rec.Epoch > was.Epoch {
		p.terms[rec.Epoch] = p
	}
	from, _ := strconv.Atoi(was.Token)
	to, _ := strconv.Atoi(rec.Token)
	if rec.Epoch < was.Epoch || to < from || p.terms[rec.Epoch] != p {
		p.t.Errorf("%v: the record went from epoch %d at %d to epoch %d at %d", time.Since(p.start), was.Epoch, from, rec.Epoch, to)
	}
	for n := from + 1; n <= to; n++ {
		if !p.acked[n] {
			p.t.Errorf("%v: the position is %d, but event %d was not acknowledged", time.Since(p.start), to, n)
		}
	}
	return fmt.Sprint(at + 1), nil
}

// Validate, Open, Read and Close are the feed.
func (p *term) Validate() error { return nil }

func (p *term) Open(ctx context.Context, token string) (*transport.Session, error) {
	p.check("a connection", 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		p.t.Errorf("%v: processes %d and %d are connected at once", time.Since(p.start), p.open.process, p.process)
	}
	p.open = p
	after, _ := strconv.Atoi(token)
	p.notef("process %d connects after %q", p.process, token)
	return &transport.Session{Conn: &simConn{term: p, last: after, closed: make(chan struct{})}, Resumes: true}, nil
}

type simConn struct {
	*term
	last   int
	closed chan struct{}
	once   sync.Once
}

func (c *simConn) Read(m *transport.Message) error {
	for c.last >= c.total() {
		select {
		case <-c.closed:
			return errTrouble
		case <-time.After(eachEvent / 2):
		}
	}
	if c.dice(300) == 0 {
		return io.EOF
	}
	c.last++
	*m = transport.Message{Data: strconv.AppendInt(nil, int64(c.last), 10), Token: strconv.Itoa(c.last), More: c.last < c.total()}
	return nil
}

func (c *simConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		time.Sleep(c.some(400 * time.Millisecond)) // a closing handshake
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open = nil
	})
	return nil
}
