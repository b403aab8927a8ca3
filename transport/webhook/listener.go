package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// The limits of Close, together less than a second: for events that the consumer is handling, for
// answers being sent, and for connections being closed.
const (
	settleGrace = 200 * time.Millisecond
	answerGrace = 200 * time.Millisecond
	lingerGrace = 500 * time.Millisecond
)

// A listener is the Listener of a Receiver.
type listener struct {
	hook    *Receiver
	deliver transport.Deliver
	routes  map[string]*route // by path; "" is Receiver.Provider
	server  *server           // nil in a mux
	stop    func() bool       // stops watching the context

	ctx    context.Context // of Receiver.Answer
	cancel context.CancelFunc
	cut    chan struct{} // closed when requests no longer wait for Receiver.Answer

	mu        sync.Mutex // held for a few instructions
	unsettled map[*delivery]struct{}
	calls     int           // of Receiver.Answer that run
	draining  bool          // no further delivery is accepted
	err       error         // the result of Wait, once ended is closed
	ended     chan struct{} // closed when Wait returns
	idle      chan struct{} // closed when ended is, no delivery is unsettled and no call runs
	closing   bool          // shut was called
	closed    chan struct{} // closed when shut has finished
}

// Listen makes the Receiver accept deliveries, and starts the built-in server if Addr or Listener
// is set. It fails while another Listener is open, and if the server cannot listen. After Drain,
// Wait of the Listener returns ErrComplete at once. deliver may be nil if Answer answers every
// delivery. See transport.Receiver.
func (w *Receiver) Listen(ctx context.Context, deliver transport.Deliver) (transport.Listener, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := w.Validate(); err != nil {
		return nil, &final{fmt.Errorf("webhook: %w", err)}
	}
	if deliver == nil {
		if w.Answer == nil {
			return nil, &final{errors.New("webhook: Listen: a nil Deliver requires Receiver.Answer")}
		}
		deliver = func([]transport.Message) (int, error) { return 0, errNoFeed }
	}
	l := &listener{
		hook: w, deliver: deliver, unsettled: make(map[*delivery]struct{}),
		ended: make(chan struct{}), idle: make(chan struct{}), closed: make(chan struct{}), cut: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if !w.state.start(l) {
		l.cancel()
		return nil, &final{errors.New("webhook: Receiver has an open Listener: close it first")}
	}
	if err := l.serve(ctx); err != nil {
		l.shut(err) // requests may have arrived through a mux meanwhile
		if w.state.isDrained() {
			return nil, transport.ErrComplete // there is nothing left to receive
		}
		return nil, err
	}
	l.stop = context.AfterFunc(ctx, func() { l.shut(context.Cause(ctx)) })
	return l, nil
}

// Wait implements transport.Listener.
func (l *listener) Wait() error {
	<-l.ended
	return l.err
}

// Close ends the Listener. Deliveries that the consumer is handling have 200 ms left to be
// acknowledged. All others, and new requests, are answered with Answers.Busy at once. The built-in
// server then has another 200 ms to send the answers and half a second to close connections.
func (l *listener) Close() error {
	l.stop()
	l.shut(errClosed)
	return nil
}

func (l *listener) shut(cause error) {
	l.end(cause)
	if !l.startClosing() {
		<-l.closed
		return
	}
	defer close(l.closed)
	grace := time.NewTimer(settleGrace)
	defer grace.Stop()
	select {
	case <-l.idle:
	case <-grace.C:
	}
	for _, d := range l.all() {
		d.refuse(errDraining)
	}
	l.cancel()
	close(l.cut)
	l.server.shut()
	l.hook.state.stop()
	for _, t := range l.routes {
		t.deadlines.close()
	}
}

func (l *listener) startClosing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	started := !l.closing
	l.closing = true
	return started
}

// refusal returns why no delivery is accepted, or nil. A nil listener accepts none.
func (l *listener) refusal() error {
	if l == nil {
		return errNoListener
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining || l.err != nil {
		return errDraining
	}
	return nil
}

// full returns why the subscription has no space for an event, or nil.
func (l *listener) full() error {
	_, err := l.deliver(nil)
	return reason(err)
}

// reason returns why a Deliver did not accept an event.
func reason(err error) error {
	switch err {
	case nil:
		return nil
	case transport.ErrFull:
		return errFull
	case errNoFeed:
		return err
	}
	return errDraining
}

// add records a delivery that is not settled, or returns why it is refused.
func (l *listener) add(d *delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining || l.err != nil {
		return errDraining
	}
	l.unsettled[d] = struct{}{}
	return nil
}

// remove removes a delivery that is settled. The last one of a drained listener ends it.
func (l *listener) remove(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.unsettled, d)
	l.check()
}

// addCall counts a call of Receiver.Answer, or returns why it must not begin.
func (l *listener) addCall() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.draining || l.err != nil:
		return errDraining
	case l.calls == maxCalls:
		return errCalls
	}
	l.calls++
	return nil
}

func (l *listener) removeCall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls--
	l.check()
}

// drain refuses deliveries from now on. The listener ends once the accepted ones are settled.
func (l *listener) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	l.check()
}

// end makes Wait return cause and refuses deliveries that the consumer has not received in full.
// The first cause counts.
func (l *listener) end(cause error) {
	l.mu.Lock()
	first := l.err == nil
	l.setErr(cause)
	l.mu.Unlock()
	if !first {
		return
	}
	for _, d := range l.all() {
		d.cut()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.check()
}

// setErr sets the result of Wait, once. The caller holds l.mu.
func (l *listener) setErr(err error) {
	if l.err == nil {
		l.err = err
		close(l.ended)
	}
}

// check ends a listener that is drained, and wakes shut, once every delivery is settled and every call
// of Receiver.Answer has ended. The caller
// holds l.mu.
func (l *listener) check() {
	if len(l.unsettled) > 0 || l.calls > 0 {
		return
	}
	if l.draining {
		l.setErr(transport.ErrComplete)
	}
	if l.err == nil {
		return
	}
	select {
	case <-l.idle:
	default:
		close(l.idle)
	}
}

// all returns the deliveries that are not settled.
func (l *listener) all() []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*delivery, 0, len(l.unsettled))
	for d := range l.unsettled {
		all = append(all, d)
	}
	return all
}
