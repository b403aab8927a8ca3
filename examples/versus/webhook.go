package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"text/tabwriter"
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

// webhooks shows the contests whose name matches: the cost of receiving a webhook, in total and
// compared with a net/http handler that only reads the same requests.
func webhooks(w io.Writer, server string, span time.Duration, turns int, wanted *regexp.Regexp) error {
	for _, size := range hookSizes {
		name := fmt.Sprintf("%dKiB", size>>10)
		if !wanted.MatchString("Webhook/" + name) {
			continue
		}
		if err := webhookTable(w, server, span, turns, name, size); err != nil {
			return err
		}
	}
	if wanted.MatchString("Techniques") {
		return techniques(w, server, span, turns)
	}
	return nil
}

func webhookTable(w io.Writer, server string, span time.Duration, turns int, name string, size int) (err error) {
	all, stop, err := receivers(hooks())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	runs := make([]func(int) error, len(all))
	for i, r := range all {
		runs[i] = func(n int) error { return r.run(server, size, n) }
	}
	costs, err := takeTurns(span, turns, runs)
	if err != nil {
		return err
	}
	return showHooks(w, all, name, costs)
}

// showHooks compares each turn with the same turn of the scheme's floor.
func showHooks(w io.Writer, all []*receiver, name string, costs [][]cost) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "webhooks of\tpayload\tlibrary\tCPU ns/request\tover the floor\ttimes the floor\tallocs over the floor")
	var base []cost
	for i, r := range all {
		c := costs[i]
		if r.library == floor {
			base = c
		}
		of := func(f func(c, base cost) float64) float64 {
			return median(len(c), func(turn int) float64 { return f(c[turn], base[turn]) })
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%.0f\t%.0f\t%.2f\t%.1f\n", r.scheme, name, r.library,
			of(func(c, _ cost) float64 { return c.ns }),
			of(func(c, base cost) float64 { return c.ns - base.ns }),
			of(func(c, base cost) float64 { return c.ns / base.ns }),
			of(func(c, base cost) float64 { return c.allocs - base.allocs }))
	}
	return out.Flush()
}
