package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/steadfeed/steadfeed/client/internal/window"
)

// ProcessOptions are the optional arguments of [Subscription.Process].
type ProcessOptions struct {
	// Workers is the number of goroutines that call the handler. Default: 1.
	Workers int

	// KeyOf returns the key of an event. Events of one key are handled one after another, in the
	// order of the feed: a refused event blocks its key, and no worker, until a later attempt
	// succeeds or [Options.DeadLetter] has accepted it. Events of other keys are handled meanwhile.
	// The events that wait for their key stay in the buffer of the subscription: a key that is
	// blocked for long fills it in the end. An event that its sender repeats (a webhook) does not
	// block its key, because it is not known when the sender does.
	//
	// With [OverflowLatest], an event that replaces one that waits for its key waits for that key, too.
	//
	// KeyOf is called for one event at a time and must not wait. The order holds within one call of
	// Process. Default: none; with several workers, there is no order.
	KeyOf func(Event) string
}

// A PanicError is the reason for the refusal of an event whose handler panicked. It unwraps to the
// value of the panic if that is an error.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // of the goroutine, as formatted by [debug.Stack]
}

func (e *PanicError) Error() string { return fmt.Sprintf("client: the handler panicked: %v", e.Value) }

func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Process calls handle for each event, on one goroutine or several, until the feed is complete, the
// subscription ends, or ctx ends. If handle returns nil, the event is acknowledged. An error refuses
// it as [Event.Nack] does: it is handled again after a delay, or as [RetryAfter], [Terminal] and
// [Options.MaxAttempts] determine. If handle panics, the event is refused with a *[PanicError],
// which is logged as an error. handle needs no Ack, and must not call Nack.
//
// When ctx ends, Process drains: it takes no further event, waits for the handlers that are running,
// settles their events and makes the others available to other consumers, in the order of the feed. A
// refused event that blocks its key does not wait for its delay then. Process returns nil. The
// ctx of a handler has the values of ctx but does not end with it: it ends when the subscription is
// closed or fenced. To bound the wait, let handle set a deadline, or call [Subscription.Close] after
// a while. The subscription continues.
//
// Process returns nil when the feed is complete, after Close, and when ctx has ended, and otherwise
// the same errors as [Subscription.Events]. It returns a *ConfigError if handle is nil or an option
// is wrong. All its goroutines have ended by then. Several calls of Process, and other ways to
// consume, may be in use at once; each event is delivered to one of them.
func (s *Subscription) Process(ctx context.Context, handle func(context.Context, Event) error, opts *ProcessOptions) error {
	if opts == nil {
		opts = &ProcessOptions{}
	}
	if err := validateProcess(ctx, handle, opts); err != nil {
		return err
	}
	p := &processor{sub: s, handle: handle, ctx: ctx}
	if opts.KeyOf != nil {
		p.lanes = newLanes(s, opts.KeyOf)
		if p.lanes.queued {
			defer s.window.Notify(p.lanes.wake)()
		}
	}
	return p.run(max(opts.Workers, 1))
}

func validateProcess(ctx context.Context, handle func(context.Context, Event) error, opts *ProcessOptions) error {
	var problems []error
	if ctx == nil {
		problems = append(problems, errors.New("ctx: is nil"))
	}
	if handle == nil {
		problems = append(problems, errors.New("handle: is nil"))
	}
	if opts.Workers < 0 {
		problems = append(problems, fmt.Errorf("ProcessOptions.Workers: %d is negative", opts.Workers))
	}
	if len(problems) > 0 {
		return &ConfigError{Problems: problems, call: "Process"}
	}
	return nil
}

// A processor is a call of Process.
type processor struct {
	sub    *Subscription
	handle func(context.Context, Event) error
	lanes  *lanes // nil without KeyOf
	joined sync.WaitGroup

	ctx      context.Context // of the call
	taking   context.Context // ends with ctx or when no more events may be delivered
	handling context.Context // of handlers
}

func (p *processor) run(workers int) error {
	s := p.sub
	var stopTaking, stopHandling func()
	p.taking, stopTaking = endsWith(p.ctx, s.ctx)
	defer stopTaking()
	p.handling, stopHandling = endsWith(context.WithoutCancel(p.ctx), s.life)
	defer stopHandling()
	p.handling = s.report.watched.labelled(p.handling)
	for range workers {
		p.start(nil)
	}
	p.joined.Wait()
	p.lanes.end()
	return p.result()
}

// start starts a worker, which continues with l unless that is nil.
func (p *processor) start(l *lane) {
	w := &worker{processor: p, lane: l}
	p.joined.Go(w.run)
}

// result returns what Process returns.
func (p *processor) result() error {
	s := p.sub
	switch {
	case s.ctx.Err() != nil:
		err := context.Cause(s.ctx)
		if p.ctx.Err() != nil && errors.Is(err, context.Cause(p.ctx)) {
			return nil // both have the same end
		}
		return loopError(err)
	case p.ctx.Err() != nil:
		return nil // an event may be left: another worker has refused it after one had seen the end
	}
	return loopError(s.loop.result)
}

// endsWith returns a context that ends with ctx and with other. stop ends it and joins the goroutine
// that other's end starts.
func endsWith(ctx, other context.Context) (both context.Context, stop func()) {
	both, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	unlink := context.AfterFunc(other, func() {
		defer close(done)
		cancel(context.Cause(other))
	})
	return both, func() {
		if !unlink() {
			<-done
		}
		cancel(nil)
	}
}

// A worker calls the handler for one event after another.
type worker struct {
	*processor
	ev     Event
	slot   *window.Slot // of ev
	inHand bool         // ev has no outcome yet
	lane   *lane        // of ev; nil without KeyOf
	failed error        // KeyOf panicked
}

func (w *worker) run() {
	w.sub.report.watched.label(w.handling)
	done := false
	defer onExit(&done, w.exit)
	for w.next() {
		w.finish(w.call())
	}
	done = true
}

// exit is called if a handler calls runtime.Goexit: its event is refused, and another worker continues.
func (w *worker) exit() {
	defer func() { w.start(w.lane) }()
	if w.inHand {
		w.finish(errExited)
	}
}

// next waits for an event to handle. It returns false if the worker must end.
func (w *worker) next() bool {
	s := w.sub
	for w.ctx.Err() == nil && s.ctx.Err() == nil {
		if w.take() {
			if w.inHand = s.suspects.Load().examine(w.taking, &w.ev); w.inHand {
				return true
			}
			continue
		}
		if err := w.wait(); err == io.EOF && !w.lanes.hasReady() {
			return false
		}
	}
	s.window.PassOn() // an event may have woken only this worker
	return false
}

// wait waits until take may find an event.
func (w *worker) wait() error {
	if w.lanes != nil {
		return w.lanes.wait(w.taking)
	}
	return w.sub.window.Wait(w.taking, nil, false)
}

// take takes an event, if one is available.
func (w *worker) take() bool {
	if !w.sub.checkpoint.holds() {
		return false
	}
	if w.lanes != nil {
		return w.lanes.take(w)
	}
	w.slot = w.sub.window.Claim(&w.ev.claim)
	if w.slot == nil {
		return false
	}
	w.hold(nil)
	return true
}

// hold starts the work on the event that was claimed.
func (w *worker) hold(l *lane) {
	w.ev.sub = w.sub
	w.ev.set(w.slot)
	w.inHand, w.lane = true, l
}

// call calls the handler.
func (w *worker) call() (err error) {
	if err, w.failed = w.failed, nil; err != nil {
		return err
	}
	defer recovered(&err)
	return w.handle(w.handling, w.ev)
}

// recovered is deferred around a function of the program. It turns a panic into an error.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// finish settles the event with the handler's result.
func (w *worker) finish(err error) {
	w.inHand = false
	if err == nil {
		w.sub.ack(&w.ev)
		return
	}
	if p := (*PanicError)(nil); errors.As(err, &p) {
		w.sub.report.panicked(&w.ev, p)
	}
	w.refuse(err)
}

// refuse refuses the event. If it is going to be handled again here, or dead-lettered, it blocks its
// key until then.
func (w *worker) refuse(reason error) {
	s, l := w.sub, w.lane
	s.suspects.Load().refused()
	final := s.isFinal(&w.ev, reason)
	switch {
	case l == nil || s.sealed.reason() != nil:
		s.nack(&w.ev, reason)
	case final && s.letters != nil:
		w.lane = nil
		if !s.deadLetter(&w.ev, reason, func() { w.lanes.unblock(l) }) {
			w.lane = l // the handler has settled it
		}
	case final || w.ev.isReturned():
		s.nack(&w.ev, reason)
	case s.window.Hold(&w.ev.claim):
		w.lane = nil
		s.report.nacked(&w.ev, reason)
		w.lanes.block(l, w, redeliveryAfter(&w.ev, reason))
	}
}
