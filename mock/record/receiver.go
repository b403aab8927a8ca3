package record

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/steadfeed/steadfeed/transport"
)

// A Receiver is a transport.Receiver that records what another one delivers, for [Replay]: the
// messages that the subscription accepts, and neither headers nor the rest of a
// [transport.Delivery]. See [Transport] for the recording and its security. Use it as *Receiver,
// and do not change its fields once it is in use.
type Receiver struct {
	// From is the receiver to record. Required.
	From transport.Receiver

	// Out receives the recording. Once a Write fails, the Listener ends and every Listen fails,
	// with an error whose Retryable method returns false. The events that were accepted until
	// then are still handled. Required.
	Out io.Writer

	// Redact returns what to write of a message. It may modify the message's data, which is a
	// copy. It is called before the message is delivered. Default: messages are written as they
	// are.
	Redact func(transport.Message) transport.Message

	recording recording
}

// Validate reports every problem of the Receiver and of the one that it records.
func (r *Receiver) Validate() error {
	var problems []error
	if r.From == nil || r.Out == nil {
		problems = append(problems, &recordError{errors.New("Receiver.From and Receiver.Out: must be set")})
	}
	if r.From != nil {
		problems = append(problems, r.From.Validate())
	}
	return errors.Join(problems...)
}

// Listen calls that of From. It implements transport.Receiver.
func (r *Receiver) Listen(ctx context.Context, deliver transport.Deliver) (transport.Listener, error) {
	if r.From == nil || r.Out == nil {
		return nil, r.Validate()
	}
	l := &listener{by: r, deliver: deliver, turn: make(chan struct{}, 1)}
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.ctx = ctx
	inner, err := r.From.Listen(ctx, l.accept)
	if err != nil {
		l.refused(err)
	} else if err = l.start(); err != nil {
		inner.Close()
	}
	if err != nil {
		l.cancel(err)
		return nil, err
	}
	l.Listener = inner
	return l, nil
}

// A listener is a Listener that is being recorded.
type listener struct {
	transport.Listener
	by      *Receiver
	deliver transport.Deliver
	ctx     context.Context
	cancel  context.CancelCauseFunc
	turn    chan struct{} // full while messages are delivered and written
	track   track
	opened  bool // its first entry is written; guarded by turn
}

// accept is the transport.Deliver that From calls.
func (l *listener) accept(ms []transport.Message) (accepted int, err error) {
	if len(ms) == 0 {
		return l.deliver(nil)
	}
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.open() != nil {
		return 0, transport.ErrClosed
	}
	entries := make([]*entry, len(ms))
	for i, m := range ms { // before the consumer owns the data
		m.Data = bytes.Clone(m.Data)
		if l.by.Redact != nil {
			m = l.by.Redact(m)
		}
		entries[i] = describe(m)
	}
	accepted, err = l.deliver(ms)
	for _, e := range entries[:accepted] {
		if failed := l.by.recording.message(l.by.Out, &l.track, position{}, e); failed != nil {
			l.cancel(failed)
		}
	}
	return accepted, err
}

// start is open for the end of Listen.
func (l *listener) start() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.open()
}

// open writes that the listener is open, before its first message. The caller has the turn.
func (l *listener) open() (err error) {
	if l.opened {
		return l.by.recording.failed()
	}
	l.opened = true
	l.track.n, err = l.by.recording.opened(l.ctx, l.by.Out, "", nil)
	return err
}

// refused writes that Listen failed, perhaps after the first messages.
func (l *listener) refused(err error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.opened {
		l.by.recording.end(l.by.Out, &l.track, ending(l.ctx, err))
	} else {
		l.by.recording.opened(l.ctx, l.by.Out, "", err)
	}
}

// Wait implements transport.Listener.
func (l *listener) Wait() error {
	err := l.Listener.Wait()
	if failed := l.by.recording.failed(); failed != nil {
		return failed
	}
	l.by.recording.end(l.by.Out, &l.track, ending(l.ctx, err))
	return err
}

// Close implements transport.Listener.
func (l *listener) Close() error {
	l.by.recording.end(l.by.Out, &l.track, &entry{verb: verbClosed}) // before Wait returns
	err := l.Listener.Close()
	l.cancel(nil)
	return err
}
