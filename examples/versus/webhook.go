package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// hookSizes are the sizes of the bodies, in bytes.
var hookSizes = []int{1 << 10, 16 << 10}

// A receiver is a running hook: its own server on loopback.
type receiver struct {
	hook
	addr   string
	server *http.Server
	served sync.WaitGroup
	stop   func() error

	mu   sync.Mutex
	got  tally
	want int
	all  chan struct{} // closed when got.events is want
}

func receive(h hook) (*receiver, error) {
	r := &receiver{hook: h}
	handler, stop, err := h.open(r.take)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	r.addr, r.stop, r.server = l.Addr().String(), stop, &http.Server{Handler: handler}
	r.served.Go(func() { r.server.Serve(l) })
	return r, nil
}

func (r *receiver) close() error {
	err := errors.Join(r.server.Close(), r.stop())
	r.served.Wait()
	return err
}

func (r *receiver) take(data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.got, data)
	if r.got.events == r.want {
		close(r.all)
	}
}

// run requests n webhooks and returns once the program has received all of them.
func (r *receiver) run(server string, size, n int) error {
	all := make(chan struct{})
	r.mu.Lock()
	r.got, r.want, r.all = tally{}, n, all
	r.mu.Unlock()
	if err := askFor(server, r.addr, r.scheme, size, n); err != nil {
		return fmt.Errorf("%s: %s: %w", r.scheme, r.library, err)
	}
	select {
	case <-all:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s: %s: not all webhooks were delivered", r.scheme, r.library)
	}
}

// receivers starts hooks. stop ends all of them.
func receivers(all []hook) (working []*receiver, stop func() error, err error) {
	stop = func() (err error) {
		for _, r := range working {
			err = errors.Join(err, r.close())
		}
		return err
	}
	for _, h := range all {
		r, err := receive(h)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		working = append(working, r)
	}
	return working, stop, nil
}

// A hookContest is the cost of receiving a webhook of one scheme, in total and beyond a net/http
// handler that only reads the same requests.
type hookContest struct {
	server string
	scheme string
	size   int
}

func webhooks(server string) (all []contest) {
	for _, size := range hookSizes {
		for _, scheme := range []string{gitHub, standard, stripeV1, cloudEvents} {
			all = append(all, hookContest{server, scheme, size})
		}
	}
	return all
}

func (c hookContest) task() string { return "Webhook " + c.scheme }
func (c hookContest) name() string { return c.task() + "/" + sizeName(c.size) }

func (c hookContest) hooks() (all []hook) {
	for _, h := range hooks() {
		if h.scheme == c.scheme {
			all = append(all, h)
		}
	}
	return all
}

func (c hookContest) entries() (names []string) {
	for _, h := range c.hooks() {
		names = append(names, h.library)
	}
	return names
}

func (c hookContest) measure(s settings) (res *result, err error) {
	chosen := slices.DeleteFunc(c.hooks(), func(h hook) bool { return h.library != floor && !s.wants(h.library) })
	all, stop, err := receivers(chosen)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	runs := make([]func(int) error, len(all))
	for i, r := range all {
		runs[i] = func(n int) error { return r.run(c.server, c.size, n) }
	}
	costs, err := takeTurns(s.span, s.turns, hookConns, runs)
	if err != nil {
		return nil, err
	}
	res = &result{Task: c.task(), Size: sizeName(c.size), Columns: []string{"CPU ns/request", "over the floor", "allocs over the floor"}}
	for i, h := range chosen {
		line := named(h.library)
		for turn, k := range costs[i] {
			base := costs[0][turn] // the floor's
			line.Turns = append(line.Turns, []float64{k.ns, k.ns - base.ns, k.allocs - base.allocs})
		}
		res.Rows = append(res.Rows, line)
	}
	return res, nil
}
