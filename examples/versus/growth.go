package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// A growth is the cost of an event as one size grows, and the theory of it. A cost that depends on
// memory grows with the size even where the theory is "constant", because caches end: factor allows
// for that.
type growth struct {
	of     string // what grows
	theory string
	cost   func(x float64) float64 // the theory, up to a factor
	factor float64                 // how far the measured cost may grow beyond the theory
	sizes  []int
	show   func(int) string
	open   func(server string, x int) (*load, error)
}

// A load is a feed with its consumers.
type load struct {
	run  func(n int) error // delivers n events
	fill int               // events until what grows has its size
	stop func() error
}

const (
	theoryColumn = "of theory" // cost divided by that of the theory, which is exact for the first size
	growthColumn = "growth"    // the same, but compared with the best of the smaller sizes
)

// leastEvents are enough for what is done once for a feed not to count.
const leastEvents = 16

func constant(float64) float64 { return 1 }

// growths returns the growths.
func growths() []growth {
	powers := []int{1000, 10_000, 100_000, 1_000_000}
	return []growth{
		{"Growth of Buffer", "constant", constant, 2, []int{1, 16, 256, 4096, 65_536, 1 << 20}, short, openBuffer},
		{"Growth of consumers", "constant", constant, 2, []int{1, 2, 4, 8, 16}, short, openConsumers},
		{"Growth of Acks out of order", "constant", constant, 4, []int{1, 16, 256, 4096, 65_536}, short, openReversed},
		{"Growth of Dedupe", "constant", constant, 4, powers, short, openDedupe},
		{"Growth of sequence keys", "constant", constant, 4, powers, short, openSequence(0)},
		{"Growth of sequence keys, SequenceKeys 10,000", "constant", constant, 4, powers, short, openSequence(10_000)},
		{"Growth of event size, HTTP", "constant + size", linear, 3, eventSizes, byteName, openPlain("ndjson")},
		{"Growth of event size, WebSocket", "constant + size", linear, 3, eventSizes, byteName, openPlain("ws")},
	}
}

func growing(server string) (all []contest) {
	for _, g := range growths() {
		all = append(all, growthContest{g, server})
	}
	return all
}

func (g growth) name() string { return g.of }

type growthContest struct {
	growth
	server string
}

func (c growthContest) entries() (names []string) {
	for _, x := range c.sizes {
		names = append(names, c.show(x))
	}
	return names
}

func (c growthContest) measure(s settings) (res *result, err error) {
	res = &result{Task: c.of, Theory: c.theory, Columns: []string{"CPU ns/event", "allocs/event", "MiB held", theoryColumn, growthColumn}}
	var runs []func(int) error
	var held []float64
	for _, x := range c.sizes {
		before := usage()
		l, err := c.open(c.server, x)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.stop()) }()
		if err := l.run(max(l.fill, 1)); err != nil {
			return nil, err
		}
		runs = append(runs, l.run)
		held = append(held, (float64(usage().heap)-float64(before.heap))/(1<<20))
	}
	costs, err := takeTurns(s.span, s.turns, leastEvents, runs)
	if err != nil {
		return nil, err
	}
	first, least := 0.0, math.Inf(1)
	for i, name := range c.entries() {
		relative := median(len(costs[i]), func(turn int) float64 { return costs[i][turn].ns }) / c.cost(float64(c.sizes[i]))
		if i == 0 {
			first = relative
		}
		least = min(least, relative)
		line := row{Name: name, Ours: true}
		for _, k := range costs[i] {
			line.Turns = append(line.Turns, []float64{k.ns, k.allocs, held[i], relative / first, relative / least})
		}
		res.Rows = append(res.Rows, line)
	}
	return res, nil
}

// short returns a number with a unit: 65,536 is 64Ki.
func short(x int) string {
	switch {
	case x >= 1<<20 && x%(1<<20) == 0:
		return fmt.Sprintf("%dMi", x>>20)
	case x >= 1<<10 && x%(1<<10) == 0:
		return fmt.Sprintf("%dKi", x>>10)
	case x >= 1e6 && x%1e6 == 0:
		return fmt.Sprintf("%dM", x/1e6)
	case x >= 1e3 && x%1e3 == 0:
		return fmt.Sprintf("%dk", x/1e3)
	}
	return strconv.Itoa(x)
}

func byteName(x int) string {
	if name := short(x); strings.HasSuffix(name, "i") {
		return name + "B"
	}
	return fmt.Sprintf("%d B", x)
}

// A pump is a feed in memory. It delivers as many events as it is asked for.
type pump struct {
	set  func(i int, m *transport.Message) // sets the fields of event i
	want chan int
	next int
}

func (p *pump) Validate() error { return nil }

func (p *pump) Open(ctx context.Context, _ string) (*transport.Session, error) {
	ctx, cancel := context.WithCancel(ctx)
	return &transport.Session{Conn: &pumpConn{pump: p, ctx: ctx, cancel: cancel}, Resumes: true}, nil
}

type pumpConn struct {
	*pump
	left   int
	ctx    context.Context
	cancel func()
}

func (c *pumpConn) Read(m *transport.Message) error {
	if c.left == 0 {
		select {
		case c.left = <-c.want:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
	c.left--
	*m = transport.Message{Data: pumped, More: c.left > 0}
	c.set(c.next, m)
	c.next++
	return nil
}

func (c *pumpConn) Close() error { c.cancel(); return nil }

// pumped is the data of a pump's events.
var pumped = []byte(strings.Repeat("x", 100))

// pumpInto subscribes to a pump. consume handles n events.
func pumpInto(o client.Options, set func(i int, m *transport.Message), consume func(sub *client.Subscription, n int) error) (*load, error) {
	p := &pump{set: set, want: make(chan int, 1)}
	sub, err := client.Subscribe(context.Background(), p, &o)
	if err != nil {
		return nil, err
	}
	return &load{stop: sub.Close, run: func(n int) error {
		p.want <- n
		return consume(sub, n)
	}}, nil
}

func nothing(int, *transport.Message) {}

// one consumes events one by one.
func one(sub *client.Subscription, n int) error {
	for range n {
		ev, err := sub.Next(context.Background())
		if err != nil {
			return err
		}
		ev.Ack()
	}
	return nil
}

func openBuffer(_ string, x int) (*load, error) {
	return pumpInto(client.Options{Buffer: x, BufferBytes: math.MaxInt}, nothing, one)
}

// openConsumers starts x consumers for each run. The one that gets the last event stops the others.
func openConsumers(_ string, x int) (*load, error) {
	return pumpInto(client.Options{}, func(i int, m *transport.Message) {
		if m.Type = "event"; !m.More {
			m.Type = "last"
		}
	}, func(sub *client.Subscription, n int) error {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		got := make([]int, x)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i] = consume(ctx, stop, sub) })
		}
		all.Wait()
		sum := 0
		for _, each := range got {
			sum += each
		}
		if sum != n {
			return fmt.Errorf("%d consumers got %d events, want %d", x, sum, n)
		}
		return nil
	})
}

func consume(ctx context.Context, stop func(), sub *client.Subscription) (n int) {
	for {
		ev, err := sub.Next(ctx)
		if err != nil {
			return n
		}
		n++
		ev.Ack()
		if ev.Type == "last" {
			stop()
		}
	}
}

// openReversed acknowledges x events at a time, the latest one first.
func openReversed(_ string, x int) (*load, error) {
	const most = 1 << 17
	held := make([]client.Event, 0, x)
	return pumpInto(client.Options{Buffer: most, BufferBytes: math.MaxInt}, nothing, func(sub *client.Subscription, n int) error {
		for left := n; left > 0; left -= len(held) {
			held = held[:0]
			for range min(x, left) {
				ev, err := sub.Next(context.Background())
				if err != nil {
					return err
				}
				held = append(held, ev)
			}
			for i := range held {
				held[len(held)-1-i].Ack()
			}
		}
		return nil
	})
}

// openDedupe remembers x ids. Each event has a new one.
func openDedupe(_ string, x int) (*load, error) {
	l, err := pumpInto(client.Options{Dedupe: x}, func(i int, m *transport.Message) {
		m.ID = strconv.Itoa(1e9 + i)
	}, one)
	if l != nil {
		l.fill = x + x/8 // the first ones are forgotten
	}
	return l, err
}

// openSequence numbers the events of x keys, which take turns.
func openSequence(limit int) func(string, int) (*load, error) {
	return func(_ string, x int) (*load, error) {
		i := -1
		l, err := pumpInto(client.Options{
			SequenceKeys: limit,
			SequenceOf:   func(ev client.Event) (string, uint64, bool) { i++; return ev.ID, uint64(i / x), true },
		}, func(i int, m *transport.Message) { m.ID = strconv.Itoa(1e9 + i%x) }, one)
		if l != nil {
			l.fill = x + x/8
		}
		return l, err
	}
}
