package transporttest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// A Push is a Receiver under test and its sender.
type Push struct {
	Receiver transport.Receiver

	// Send delivers events in one request, once. It returns true if the sender has no reason to
	// repeat them. It gives up when ctx ends, and may be called from several goroutines.
	Send func(ctx context.Context, events ...Event) bool

	// Complete, if not nil, makes the feed complete: nothing is accepted from then on.
	Complete func()
}

// RunReceiver verifies the Receivers that start returns, each check in its own subtest, by the
// real clock. start is called once per check, and stops what it starts with t.Cleanup.
func RunReceiver(t *testing.T, start func(t testing.TB) Push) {
	for _, c := range receiverChecks {
		t.Run(c.name, func(t *testing.T) { c.verify(t, start, tardy) })
	}
}

// RunReceiverInBubble is RunReceiver with each check in a bubble of testing/synctest. start is
// called with the testing.TB of the bubble.
func RunReceiverInBubble(t *testing.T, start func(t testing.TB) Push) {
	for _, c := range receiverChecks {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) { c.verify(t, start, prompt) })
		})
	}
}

// A receiverCheck verifies one promise of the contract.
type receiverCheck struct {
	name string
	run  func(*desk)
}

var receiverChecks = []receiverCheck{
	{"Validate accepts the Receiver", validReceiver},
	{"messages come in order", pushedInOrder},
	{"messages are complete", pushedComplete},
	{"data is the subscription's own", pushedOwned},
	{"requests may come at once", pushedAtOnce},
	{"the sender waits for Settle", answersSettled},
	{"Settle may come during Deliver", settlesAtOnce},
	{"a refused event is not accepted", answersRefused},
	{"ErrFull refuses the request", answersFull},
	{"what did not fit comes again", answersPartly},
	{"ErrClosed refuses the request", answersClosed},
	{"a panic of Deliver refuses the request", answersPanic},
	{"an ended context does not listen", listensInContext},
	{"the context's end ends Wait", contextEndsWait},
	{"Close ends Wait", closeEndsWait},
	{"Close does not wait for the consumer", closeUnsettled},
	{"Close may be called often", closeListenerOften},
	{"nothing is delivered after Close", closedListener},
	{"Listen works again after Close", listenAgain},
	{"a complete feed is ErrComplete", pushedCompletely},
}

func (c receiverCheck) verify(t testing.TB, start func(testing.TB) Push, prompt time.Duration) {
	t.Helper()
	d := &desk{probe: newProbe(t, Script{}, prompt)}
	d.ctx, d.stop = context.WithCancel(context.Background())
	t.Cleanup(d.checkGoroutines)
	d.push = start(t)
	t.Cleanup(unmark)
	t.Cleanup(d.leave)
	d.mark()
	c.run(d)
}

// A desk is the subscription of a Receiver under test. Its methods end the test if the Receiver
// does not behave as they expect.
type desk struct {
	*probe
	push     Push
	ctx      context.Context // of the senders
	stop     context.CancelFunc
	listener transport.Listener
	waiting  *pending // Wait

	mu       sync.Mutex
	messages []transport.Message                // accepted
	accept   func(*transport.Message) error     // decides about a message; nil: it is accepted
	after    func(accepted []transport.Message) // called before deliver returns; nil: settles each
}

// deliver is the transport.Deliver of the desk.
func (d *desk) deliver(ms []transport.Message) (accepted int, err error) {
	d.mu.Lock()
	for i := range ms {
		if d.accept != nil {
			err = d.accept(&ms[i])
		}
		if err != nil {
			break
		}
		d.messages = append(d.messages, ms[i])
		accepted++
	}
	after := d.after
	d.mu.Unlock()
	if after == nil {
		after = settleAll
	}
	after(slices.Clone(ms[:accepted]))
	return accepted, err
}

func settleAll(ms []transport.Message) {
	for _, m := range ms {
		if m.Settle != nil {
			m.Settle(nil)
		}
	}
}

// keep leaves the messages of deliver unsettled.
func keep([]transport.Message) {}

func (d *desk) set(accept func(*transport.Message) error, after func([]transport.Message)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accept, d.after = accept, after
}

// got returns the accepted messages.
func (d *desk) got() []transport.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.messages)
}

// data returns the data of the accepted messages, without repetitions.
func (d *desk) data() (all []string) {
	for _, m := range d.got() {
		if s := string(m.Data); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// attempt calls Listen and returns its error.
func (d *desk) attempt(ctx context.Context) error {
	d.t.Helper()
	var l transport.Listener
	if err := d.wait(d.begin("Listen", func() (err error) {
		l, err = d.push.Receiver.Listen(ctx, d.deliver)
		return err
	}), patient); err != nil {
		return err
	}
	if l == nil {
		d.t.Fatalf("Listen returned neither a Listener nor an error")
	}
	d.listener, d.waiting = l, d.begin("Wait", l.Wait)
	return nil
}

// listen calls Listen, which must succeed.
func (d *desk) listen(ctx context.Context) {
	d.t.Helper()
	if err := d.attempt(ctx); err != nil {
		d.t.Fatalf("Listen: %v", err)
	}
}

// leave ends the senders and closes the Listener.
func (d *desk) leave() {
	d.stop()
	if d.listener != nil {
		d.close()
	}
}

// close calls Close, after which Wait must return.
func (d *desk) close() error {
	d.t.Helper()
	d.wait(d.begin("Close", d.listener.Close), d.prompt)
	return d.wait(d.waiting, d.prompt)
}

var errNotAccepted = errors.New("not accepted")

// send starts to send events.
func (d *desk) send(events ...Event) *pending {
	return d.begin("Send", func() error {
		if !d.push.Send(d.ctx, events...) {
			return errNotAccepted
		}
		return nil
	})
}

// accepted sends events, which must be accepted.
func (d *desk) accepted(events ...Event) {
	d.t.Helper()
	if err := d.wait(d.send(events...), patient); err != nil {
		d.t.Fatalf("Send of %d events: %v", len(events), err)
	}
}

// refused waits for the answer to a request, which must be a refusal.
func (d *desk) refused(why string, request *pending) {
	d.t.Helper()
	if d.wait(request, patient) == nil {
		d.t.Errorf("the request was accepted, although %s", why)
	}
}

// open checks that Wait has not returned.
func (d *desk) open() {
	d.t.Helper()
	time.Sleep(settle)
	select {
	case <-d.waiting.done:
		d.t.Fatalf("Wait returned %v while the Listener is open", d.waiting.err)
	default:
	}
}

// compare checks the data of the accepted messages.
func (d *desk) compare(events []Event) {
	d.t.Helper()
	got := d.data()
	for i, e := range events {
		switch {
		case i >= len(got):
			d.t.Fatalf("%d events were delivered, want %d", len(got), len(events))
		case got[i] != e.Data:
			d.t.Fatalf("event %d is %s, want %s", i+1, brief([]byte(got[i])), brief([]byte(e.Data)))
		}
	}
	if len(got) > len(events) {
		d.t.Fatalf("%s was delivered after the last event", brief([]byte(got[len(events)])))
	}
}

func validReceiver(d *desk) {
	if err := d.push.Receiver.Validate(); err != nil {
		d.t.Errorf("Validate: %v", err)
	}
}

func pushedInOrder(d *desk) {
	d.listen(context.Background())
	all := events(30, 0, 10, 3000, 1)
	for i := 0; i < len(all); i += 3 {
		d.accepted(all[i : i+3]...)
	}
	d.open()
	if n := len(d.got()); n > len(all) {
		d.t.Errorf("%d events were delivered for %d", n, len(all))
	}
	d.compare(all)
}

func pushedComplete(d *desk) {
	d.listen(context.Background())
	d.accepted(events(2)...)
	for _, m := range d.got() {
		switch {
		case m.Kind != decode.KindData:
			d.t.Errorf("Kind is %v, want KindData", m.Kind)
		case m.Token != "":
			d.t.Errorf("Token is %q, but a Receiver has no positions", m.Token)
		case m.Delivery == nil:
			d.t.Errorf("Delivery is nil")
		case m.Gap != nil:
			d.t.Errorf("Gap is %v, but nothing is missing", m.Gap)
		case m.Parts != nil:
			d.t.Errorf("Parts has %d messages", len(m.Parts))
		}
	}
}

// pushedOwned appends to the data of every event. No other event may change, then or later.
func pushedOwned(d *desk) {
	d.listen(context.Background())
	all := events(20, 1, 20, 500, 40_000)
	for i := 0; i < len(all); i += 2 {
		d.accepted(all[i : i+2]...)
		for _, m := range d.got() {
			if room := m.Data[:cap(m.Data)]; len(room) > len(m.Data) {
				clear(room[len(m.Data):]) // what append would write to
			}
		}
	}
	d.compare(all)
}

func pushedAtOnce(d *desk) {
	d.listen(context.Background())
	var requests []*pending
	all := events(20)
	for _, e := range all {
		requests = append(requests, d.send(e))
	}
	for _, r := range requests {
		if err := d.wait(r, patient); err != nil {
			d.t.Errorf("Send: %v", err)
		}
	}
	for _, e := range all {
		if !slices.Contains(d.data(), e.Data) {
			d.t.Errorf("%s was accepted and not delivered", brief([]byte(e.Data)))
		}
	}
}

// settling returns the first accepted message, or false if its sender does not wait for Settle.
func (d *desk) settling() (transport.Message, bool) {
	d.t.Helper()
	for begun := time.Now(); len(d.got()) == 0; time.Sleep(settle) {
		if time.Since(begun) > patient {
			d.t.Fatalf("nothing was delivered")
		}
	}
	m := d.got()[0]
	return m, m.Settle != nil
}

func answersSettled(d *desk) {
	d.listen(context.Background())
	d.set(nil, keep)
	request := d.send(events(1)...)
	if m, ok := d.settling(); ok {
		time.Sleep(settle)
		select {
		case <-request.done:
			d.t.Errorf("the request was answered before Settle")
		default:
		}
		m.Settle(nil)
	}
	if err := d.wait(request, patient); err != nil {
		d.t.Errorf("the request was refused after Settle(nil)")
	}
}

func settlesAtOnce(d *desk) {
	d.listen(context.Background())
	d.accepted(events(3)...)
	d.compare(events(3))
}

func answersRefused(d *desk) {
	d.listen(context.Background())
	d.set(nil, keep)
	request := d.send(events(1)...)
	m, ok := d.settling()
	if !ok {
		d.wait(request, patient)
		return
	}
	m.Settle(errors.New("transporttest: no"))
	d.refused("its event was refused", request)
}

func answersFull(d *desk) {
	d.listen(context.Background())
	d.set(func(*transport.Message) error { return transport.ErrFull }, nil)
	start := time.Now()
	d.refused("the buffer is full", d.send(events(1)...))
	if took := time.Since(start); took > d.prompt {
		d.t.Errorf("a full buffer was reported after %v", took)
	}
	d.set(nil, nil)
	d.accepted(events(1)...)
	d.compare(events(1))
	d.open()
}

// answersPartly has space for one event at a time, and later for all of them. A Receiver that does
// not remember what was accepted delivers it again.
func answersPartly(d *desk) {
	d.listen(context.Background())
	full := false
	d.set(func(*transport.Message) error {
		if full = !full; full {
			return nil
		}
		return transport.ErrFull
	}, nil)
	all := events(4)
	for range 3 {
		if d.wait(d.send(all...), patient) == nil {
			d.compare(all)
			return
		}
	}
	d.set(nil, nil)
	d.accepted(all...)
	d.compare(all)
}

func answersClosed(d *desk) {
	d.listen(context.Background())
	d.set(func(*transport.Message) error { return transport.ErrClosed }, nil)
	d.refused("the subscription has ended", d.send(events(1)...))
}

func answersPanic(d *desk) {
	d.listen(context.Background())
	d.set(nil, func([]transport.Message) { panic("transporttest: a mistake in the consumer") })
	d.refused("Deliver panicked", d.send(events(1)...))
	d.set(nil, nil)
	d.accepted(events(1)...)
	d.compare(events(1))
}

func listensInContext(d *desk) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errOver)
	if err := d.attempt(ctx); !errors.Is(err, errOver) {
		d.t.Errorf("Listen returned %v; want the cause of the context", err)
	}
}

func contextEndsWait(d *desk) {
	ctx, cancel := context.WithCancelCause(context.Background())
	d.listen(ctx)
	d.accepted(events(1)...)
	d.open()
	cancel(errOver)
	if err := d.wait(d.waiting, d.prompt); !errors.Is(err, errOver) {
		d.t.Errorf("Wait returned %v; want the cause of the context", err)
	}
}

func closeEndsWait(d *desk) {
	d.listen(context.Background())
	d.open()
	if err := d.close(); err == nil || isEnd(err) {
		d.t.Errorf("Wait returned %v because of Close; want an error that is not the end of the feed", err)
	}
}

func closeUnsettled(d *desk) {
	d.listen(context.Background())
	d.set(nil, keep)
	request := d.send(events(1)...)
	_, waits := d.settling()
	d.close()
	if waits {
		d.refused("its event was not settled", request)
	}
}

func closeListenerOften(d *desk) {
	d.listen(context.Background())
	var calls []*pending
	for range 8 {
		calls = append(calls, d.begin("Close, with others at once,", d.listener.Close))
	}
	for _, call := range calls {
		d.wait(call, d.prompt)
	}
	d.close()
}

func closedListener(d *desk) {
	d.listen(context.Background())
	d.accepted(events(1)...)
	d.close()
	d.refused("the Listener is closed", d.send(events(2)[1]))
	d.compare(events(1))
}

func listenAgain(d *desk) {
	for i, e := range events(3) {
		d.listen(context.Background())
		d.accepted(e)
		d.compare(events(3)[:i+1])
		d.close()
	}
}

func pushedCompletely(d *desk) {
	if d.push.Complete == nil {
		d.t.Skip("the feed is never complete")
	}
	d.listen(context.Background())
	d.accepted(events(1)...)
	d.push.Complete()
	if err := d.wait(d.waiting, patient); !isEnd(err) {
		d.t.Errorf("Wait returned %v; want ErrComplete", err)
	}
	d.refused("the feed is complete", d.send(events(2)[1]))
	d.compare(events(1))
}
