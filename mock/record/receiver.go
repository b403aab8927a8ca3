package record

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/steadfeed/steadfeed/transport"
)

// Receiver returns a transport.Receiver that records on out what from delivers, for [Replay]: the
// messages that the subscription accepts, and neither headers nor the rest of a
// [transport.Delivery]. See [Transport] for the recording and its security. Once a Write fails, the
// Listener ends and every Listen fails, with an error whose Retryable method returns false. The
// events that were accepted until then are still handled.
func Receiver(from transport.Receiver, out io.Writer, o *Options) transport.Receiver {
	return &recordedReceiver{from, newRecording(out, o)}
}

type recordedReceiver struct {
	from transport.Receiver
	*recording
}

// Validate reports every problem of the arguments of Receiver, and of from.
func (r *recordedReceiver) Validate() error {
	var problems []error
	if r.from == nil || r.out == nil {
		problems = append(problems, &recordError{errors.New("Receiver: from and out must not be nil")})
	}
	if r.opts.TokenOf != nil {
		problems = append(problems, &recordError{errors.New("Options.TokenOf: a Receiver has no positions")})
	}
	if r.from != nil {
		problems = append(problems, r.from.Validate())
	}
	return errors.Join(problems...)
}

func (r *recordedReceiver) Listen(ctx context.Context, deliver transport.Deliver) (transport.Listener, error) {
	if r.from == nil || r.out == nil {
		return nil, r.Validate()
	}
	l := &listener{by: r.recording, deliver: deliver, turn: make(chan struct{}, 1)}
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.ctx = ctx
	inner, err := r.from.Listen(ctx, l.accept)
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
	by      *recording
	deliver transport.Deliver
	ctx     context.Context
	cancel  context.CancelCauseFunc
	turn    chan struct{} // full while messages are delivered and written
	track   track
	opened  bool // its first entry is written; guarded by turn
}

// accept is the transport.Deliver that the Receiver being recorded calls.
func (l *listener) accept(ms []transport.Message) (accepted int, err error) {
	if len(ms) == 0 {
		return l.deliver(nil)
	}
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.open() != nil {
		return 0, transport.ErrClosed
	}
	entries := make([]described, len(ms))
	for i, m := range ms { // before the consumer owns the data
		m.Data = bytes.Clone(m.Data)
		entries[i] = l.by.describe(m)
	}
	accepted, err = l.deliver(ms)
	for _, e := range entries[:accepted] {
		if failed := l.by.message(&l.track, e); failed != nil {
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
		return l.by.failed()
	}
	l.opened = true
	l.track.n, err = l.by.opened(l.ctx, "", nil)
	return err
}

// refused writes that Listen failed, perhaps after the first messages.
func (l *listener) refused(err error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.opened {
		l.by.end(&l.track, ending(l.ctx, err))
	} else {
		l.by.opened(l.ctx, "", err)
	}
}

// Wait implements transport.Listener.
func (l *listener) Wait() error {
	err := l.Listener.Wait()
	if failed := l.by.failed(); failed != nil {
		return failed
	}
	l.by.end(&l.track, ending(l.ctx, err))
	return err
}

// Close implements transport.Listener.
func (l *listener) Close() error {
	l.by.end(&l.track, &entry{verb: verbClosed}) // before Wait returns
	err := l.Listener.Close()
	l.cancel(nil)
	return err
}
