package transporttest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/transport"
)

// A hub is a Receiver in memory. The functions, if set, change what it does.
type hub struct {
	validate func() error
	message  func(i int, m *transport.Message) // before it is delivered
	messages func([]transport.Message) []transport.Message
	answer   func(accepted, n int, err error) (done, ok bool) // after Deliver
	listen   func(ctx context.Context) (context.Context, error)
	wait     func(error) error
	close    func(inner func()) // instead of inner
	settles  func(m *transport.Message)
	forgets  bool // answers before Settle
	open     bool // delivers after Close
	ended    bool // listens although its context has ended
	panics   bool // does not recover
	endless  bool // Complete does not end Wait
	goes     bool // leaves a goroutine

	mu       sync.Mutex
	current  *hubListener
	complete bool
}

type hubListener struct {
	hub     *hub
	deliver transport.Deliver
	ctx     context.Context
	done    chan struct{}
	once    sync.Once
	err     error
}

func (h *hub) Validate() error {
	if h.validate != nil {
		return h.validate()
	}
	return nil
}

func (h *hub) Listen(ctx context.Context, deliver transport.Deliver) (transport.Listener, error) {
	if h.listen != nil {
		var err error
		if ctx, err = h.listen(ctx); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil && !h.ended {
		return nil, context.Cause(ctx)
	}
	l := &hubListener{hub: h, deliver: deliver, ctx: ctx, done: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = l
	return l, nil
}

func (l *hubListener) end(err error) {
	l.once.Do(func() { l.err = err; close(l.done) })
}

func (l *hubListener) Wait() (err error) {
	select {
	case <-l.ctx.Done():
		err = context.Cause(l.ctx)
	case <-l.done:
		err = l.err
	}
	if l.hub.wait != nil {
		err = l.hub.wait(err)
	}
	return err
}

func (l *hubListener) Close() error {
	inner := func() { l.end(errMemory) }
	if l.hub.close != nil {
		l.hub.close(inner)
	} else {
		inner()
	}
	return nil
}

// Send implements Push.Send.
func (h *hub) Send(ctx context.Context, events ...Event) (ok bool) {
	h.mu.Lock()
	l, complete := h.current, h.complete
	h.mu.Unlock()
	if l == nil || complete {
		return false
	}
	select {
	case <-l.done:
		if !h.open {
			return false
		}
	default:
	}
	if h.goes {
		go time.Sleep(30 * time.Second)
	}
	outcomes := make(chan error, 2*len(events))
	ms := make([]transport.Message, len(events))
	for i, e := range events {
		ms[i] = transport.Message{Data: []byte(e.Data), ID: e.Token, Delivery: &transport.Delivery{}}
		ms[i].Settle = func(err error) { outcomes <- err }
		if h.message != nil {
			h.message(i, &ms[i])
		}
		if h.settles != nil {
			h.settles(&ms[i])
		}
	}
	if h.messages != nil {
		ms = h.messages(ms)
	}
	if !h.panics {
		defer func() { recover() }()
	}
	n, err := l.deliver(ms)
	if h.answer != nil {
		if done, ok := h.answer(n, len(ms), err); done {
			return ok
		}
	}
	if n < len(ms) {
		return false
	}
	for range ms {
		if h.forgets {
			return true
		}
		select {
		case err := <-outcomes:
			if err != nil {
				return false
			}
		case <-l.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (h *hub) Complete() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complete = true
	if !h.endless {
		h.current.end(transport.ErrComplete)
	}
}

func (h *hub) push() Push { return Push{Receiver: h, Send: h.Send, Complete: h.Complete} }

func (c receiverCheck) findings(t testing.TB, start func(testing.TB) Push) []string {
	r := &recorder{TB: t}
	do(func() { c.verify(r, start, prompt) })
	for _, f := range slices.Backward(r.cleanups) {
		do(f)
	}
	return r.found
}

// Each broken Receiver is caught by its check.
var brokenReceivers = []struct {
	name, check string
	hub         func(gone <-chan struct{}) *hub
}{
	{"does not accept itself", "Validate accepts the Receiver", func(<-chan struct{}) *hub {
		return &hub{validate: func() error { return errors.New("no") }}
	}},
	{"swaps events", "messages come in order", func(<-chan struct{}) *hub {
		return &hub{messages: func(ms []transport.Message) []transport.Message { slices.Reverse(ms); return ms }}
	}},
	{"loses an event", "messages come in order", func(<-chan struct{}) *hub {
		return &hub{messages: func(ms []transport.Message) []transport.Message { return ms[:1] }}
	}},
	{"delivers an event twice", "messages come in order", func(<-chan struct{}) *hub {
		return &hub{messages: func(ms []transport.Message) []transport.Message { return append(ms[:len(ms):len(ms)], ms[0]) }}
	}},
	{"ends by itself", "messages come in order", func(<-chan struct{}) *hub {
		return &hub{listen: func(ctx context.Context) (context.Context, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(errMemory)
			return ctx, nil
		}, ended: true}
	}},
	{"leaves a goroutine", "messages come in order", func(<-chan struct{}) *hub { return &hub{goes: true} }},
	{"returns neither a Listener nor an error", "messages come in order", nil},
	{"has positions", "messages are complete", func(<-chan struct{}) *hub {
		return &hub{message: func(_ int, m *transport.Message) { m.Token = "7" }}
	}},
	{"describes no request", "messages are complete", func(<-chan struct{}) *hub {
		return &hub{message: func(_ int, m *transport.Message) { m.Delivery = nil }}
	}},
	{"delivers keepalives", "messages are complete", func(<-chan struct{}) *hub {
		return &hub{message: func(_ int, m *transport.Message) { m.Kind = 99 }}
	}},
	{"reports a gap", "messages are complete", func(<-chan struct{}) *hub {
		return &hub{message: func(_ int, m *transport.Message) { m.Gap = &transport.Gap{} }}
	}},
	{"delivers parts", "messages are complete", func(<-chan struct{}) *hub {
		return &hub{message: func(_ int, m *transport.Message) { m.Parts = make([]transport.Message, 1) }}
	}},
	{"lends its memory", "data is the subscription's own", func(<-chan struct{}) *hub {
		memory := make([]byte, 1<<20)
		return &hub{message: func(i int, m *transport.Message) {
			part := memory[i<<19 : (i+1)<<19]
			m.Data = part[:copy(part, m.Data)]
		}}
	}},
	{"leaves room that another event has", "data is the subscription's own", func(<-chan struct{}) *hub {
		return &hub{messages: func(ms []transport.Message) []transport.Message {
			all := append(slices.Clone(ms[0].Data), ms[1].Data...)
			ms[0].Data, ms[1].Data = all[:len(ms[0].Data)], all[len(ms[0].Data):]
			return ms
		}}
	}},
	{"refuses the second of two", "requests may come at once", func(<-chan struct{}) *hub {
		var mu sync.Mutex
		n := 0
		return &hub{answer: func(int, int, error) (bool, bool) {
			mu.Lock()
			defer mu.Unlock()
			n++
			return n == 2, false
		}}
	}},
	{"answers without delivering", "requests may come at once", func(<-chan struct{}) *hub {
		return &hub{messages: func(ms []transport.Message) []transport.Message { return nil }}
	}},
	{"answers before Settle", "the sender waits for Settle", func(<-chan struct{}) *hub { return &hub{forgets: true} }},
	{"refuses what is settled", "the sender waits for Settle", func(<-chan struct{}) *hub {
		return &hub{settles: func(m *transport.Message) {
			settle := m.Settle
			m.Settle = func(error) { settle(errMemory) }
		}}
	}},
	{"misses an early Settle", "Settle may come during Deliver", func(<-chan struct{}) *hub {
		return &hub{settles: func(m *transport.Message) {
			settle, begun := m.Settle, time.Now()
			m.Settle = func(err error) {
				if time.Since(begun) > 0 {
					settle(err)
				}
			}
		}}
	}},
	{"accepts what is refused", "a refused event is not accepted", func(<-chan struct{}) *hub {
		return &hub{settles: func(m *transport.Message) {
			settle := m.Settle
			m.Settle = func(error) { settle(nil) }
		}}
	}},
	{"accepts what is not in the buffer", "ErrFull refuses the request", func(<-chan struct{}) *hub {
		return &hub{answer: func(accepted, n int, err error) (bool, bool) { return accepted < n, true }}
	}},
	{"waits for space", "ErrFull refuses the request", func(<-chan struct{}) *hub {
		return &hub{answer: func(accepted, n int, err error) (bool, bool) {
			if err != nil {
				time.Sleep(5 * time.Second)
			}
			return false, false
		}}
	}},
	{"accepts a part", "what did not fit comes again", func(<-chan struct{}) *hub {
		return &hub{answer: func(accepted, n int, err error) (bool, bool) { return accepted > 0, true }}
	}},
	{"never accepts again", "what did not fit comes again", func(<-chan struct{}) *hub {
		return &hub{answer: func(int, int, error) (bool, bool) { return true, false }}
	}},
	{"accepts after the end", "ErrClosed refuses the request", func(<-chan struct{}) *hub {
		return &hub{answer: func(_, _ int, err error) (bool, bool) { return err == transport.ErrClosed, true }}
	}},
	{"passes a panic on", "a panic of Deliver refuses the request", func(<-chan struct{}) *hub { return &hub{panics: true} }},
	{"listens without a context", "an ended context does not listen", func(<-chan struct{}) *hub {
		return &hub{listen: func(ctx context.Context) (context.Context, error) { return context.WithoutCancel(ctx), nil }}
	}},
	{"does not heed the context in Wait", "the context's end ends Wait", func(<-chan struct{}) *hub {
		return &hub{listen: func(ctx context.Context) (context.Context, error) { return context.WithoutCancel(ctx), nil }}
	}},
	{"hides the cause in Wait", "the context's end ends Wait", func(<-chan struct{}) *hub {
		return &hub{wait: func(error) error { return context.Canceled }}
	}},
	{"takes Close for the end", "Close ends Wait", func(<-chan struct{}) *hub {
		return &hub{wait: func(error) error { return transport.ErrComplete }}
	}},
	{"does not wake Wait", "Close ends Wait", func(gone <-chan struct{}) *hub {
		return &hub{close: func(inner func()) {
			go func() {
				<-gone
				inner()
			}()
		}}
	}},
	{"waits for the consumer in Close", "Close does not wait for the consumer", func(gone <-chan struct{}) *hub {
		return &hub{close: func(inner func()) {
			time.Sleep(5 * time.Second)
			inner()
		}}
	}},
	{"panics in a second Close", "Close may be called often", func(<-chan struct{}) *hub {
		closed := make(chan struct{})
		return &hub{close: func(inner func()) {
			defer inner()
			close(closed)
		}}
	}},
	{"delivers after Close", "nothing is delivered after Close", func(<-chan struct{}) *hub { return &hub{open: true} }},
	{"listens once", "Listen works again after Close", func(<-chan struct{}) *hub {
		n := 0
		return &hub{listen: func(ctx context.Context) (context.Context, error) {
			if n++; n > 1 {
				return nil, errors.New("in use")
			}
			return ctx, nil
		}}
	}},
	{"does not end", "a complete feed is ErrComplete", func(<-chan struct{}) *hub { return &hub{endless: true} }},
	{"takes the end for a failure", "a complete feed is ErrComplete", func(<-chan struct{}) *hub {
		return &hub{wait: func(error) error { return errMemory }}
	}},
}

// A nothing is a Receiver that returns nothing.
type nothing struct{ hub }

func (*nothing) Listen(context.Context, transport.Deliver) (transport.Listener, error) {
	return nil, nil
}

func TestBrokenReceiversAreCaught(t *testing.T) {
	caught := make(map[string]bool)
	for _, b := range brokenReceivers {
		caught[b.check] = true
		i := slices.IndexFunc(receiverChecks, func(c receiverCheck) bool { return c.name == b.check })
		if i < 0 {
			t.Errorf("%s: got no check %q, want one", b.name, b.check)
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			gone := make(chan struct{})
			defer time.Sleep(time.Hour)
			defer close(gone)
			found := receiverChecks[i].findings(t, func(testing.TB) Push {
				if b.hub == nil {
					none := &nothing{}
					return Push{Receiver: none, Send: none.Send}
				}
				return b.hub(gone).push()
			})
			if len(found) == 0 {
				t.Errorf("%s: got no finding of %q, want one", b.name, b.check)
			}
			t.Logf("%s: %s", b.name, strings.Join(found, "; "))
		})
	}
	for _, c := range receiverChecks {
		if !caught[c.name] {
			t.Errorf("%q: got no broken Receiver that it catches, want one", c.name)
		}
	}
}

// The table changes a Receiver that keeps the contract.
func TestHubKeepsTheContract(t *testing.T) {
	RunReceiverInBubble(t, func(testing.TB) Push { return new(hub).push() })
	RunReceiver(t, func(testing.TB) Push { return new(hub).push() })
}

// A recorded Receiver keeps the contract.
func TestRecordedHubKeepsTheContract(t *testing.T) {
	RunReceiverInBubble(t, func(testing.TB) Push {
		h := new(hub)
		push := h.push()
		push.Receiver = record.Receiver(h, io.Discard, nil)
		return push
	})
}
