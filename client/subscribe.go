package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A Subscription receives the events of one feed. All its methods may be called from several
// goroutines at once.
type Subscription struct {
	opts       Options
	transport  transport.Transport
	window     *window
	checkpoint *checkpoint // nil without a Store
	pushed     bool        // the transport has no positions: the sender repeats missed events

	ctx       context.Context // ends when no more events may be delivered; its cause is the reason
	cancel    context.CancelCauseFunc
	connected chan struct{}         // closed once a connection has been open
	over      chan struct{}         // closed when the run loop has ended
	end       error                 // why it has ended; set before over is closed
	seal      atomic.Pointer[error] // set when the position can no longer move

	redial  chan struct{}                           // one token: Reconnect was called
	drop    atomic.Pointer[context.CancelCauseFunc] // ends the current connection
	stats   counters                                // see Stats
	log     stateLog
	failure atomic.Pointer[error] // the last one
	dozers  sync.Pool             // of *time.Timer
	joined  *sync.WaitGroup       // the run loop

	closing  atomic.Bool   // Close was called
	closed   chan struct{} // closed when the first Close has finished
	closeErr error         // its result; set before closed is closed
}

// Subscribe starts receiving events from t. It does not wait for a connection: a source that
// cannot be reached is retried under opts.Retry, and only [Options.Logger], [Options.Trace] and
// [Subscription.WaitConnected] report that. If opts is nil, every option has its default. ctx is
// the lifetime of the subscription, not only of this call: when it ends, so does the subscription,
// with the context's cause. The caller must call Close in any case.
//
// With a Store, Subscribe takes the checkpoint over before it returns, bounded by ctx. Another
// subscription of the same Name ends with ErrFenced at its next save, or within 30 s if it has
// nothing to save. Subscribe waits for its turn only if the record has been taken over several
// times in short succession; see the package documentation.
//
// Subscribe returns a *ConfigError that lists everything that is wrong with its arguments, or a
// *CheckpointError if the stored position cannot be read or taken over.
func Subscribe(ctx context.Context, t transport.Transport, opts *Options) (*Subscription, error) {
	if err := validate(ctx, t, opts); err != nil {
		return nil, err
	}
	s := &Subscription{
		opts:      opts.withDefaults(),
		transport: t,
		connected: make(chan struct{}),
		over:      make(chan struct{}),
		redial:    make(chan struct{}, 1),
		joined:    new(sync.WaitGroup),
		closed:    make(chan struct{}),
	}
	s.pushed = isPositionless(t)
	s.window = newWindow(s, s.opts.Buffer, s.opts.BufferBytes)
	s.log.Logger = s.opts.Logger
	r := &run{Subscription: s, token: s.opts.StartAt}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if s.opts.Store != nil {
		stored, err := s.openCheckpoint(ctx)
		if err != nil {
			s.cancel(err)
			return nil, err
		}
		r.restore(stored)
	}
	r.ids = newRecent(s.opts.Dedupe)
	r.backoff = s.opts.Retry.Start()
	s.joined.Go(r.loop)
	return s, nil
}

func (s *Subscription) openCheckpoint(ctx context.Context) (stored record, err error) {
	c := &checkpoint{
		store:      s.opts.Store,
		key:        s.opts.Name,
		every:      s.opts.CommitEvery,
		commitOnly: s.opts.CommitEvery < 0,
		onRequest:  s.opts.CommitEvery < 0,
		low:        s.window.sweep,
		report:     s.saved,
		contested:  s.log.contested,
		stop:       s.fail,
		ended:      make(chan struct{}),
		dead:       make(chan struct{}),
	}
	// Saving outlives ctx: what was acknowledged before its end must still be saved.
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if stored, err = c.takeOver(ctx); err != nil {
		c.cancel()
		return record{}, err
	}
	c.base = stored.Events
	c.mu.Lock()
	c.watch()
	c.mu.Unlock()
	s.checkpoint = c
	return stored, nil
}

// fail ends the subscription because it no longer owns its position.
func (s *Subscription) fail(err error) {
	s.seal.CompareAndSwap(nil, &err)
	s.cancel(err)
}

// WaitConnected returns nil once the subscription has been connected. It lets a program fail early
// if a host, a credential or a certificate is wrong; the subscription itself retries under
// Options.Retry. If ctx ends first, the error wraps its cause and the last failure. If the
// subscription ends first, the error is that of Next.
func (s *Subscription) WaitConnected(ctx context.Context) error {
	select {
	case <-s.connected:
		return nil
	default:
	}
	select {
	case <-s.connected:
		return nil
	case <-s.over:
		select {
		case <-s.connected: // both
			return nil
		default:
			return s.end
		}
	case <-ctx.Done():
		return s.notConnected(context.Cause(ctx))
	}
}

func (s *Subscription) notConnected(cause error) error {
	n := s.stats.attempts.Load()
	last := s.failure.Load()
	if last == nil {
		return fmt.Errorf("client: not connected: %w (attempts: %d, no answer yet)", cause, n)
	}
	return fmt.Errorf("client: not connected: %w (attempts: %d, last failure: %w)", cause, n, *last)
}

// Commit returns nil once every event acknowledged so far is durable, in the sense that the Store
// documents. In the body of a loop, call ev.Ack first: without it, the current event is
// acknowledged only after the body. Commit also waits until all events before an acknowledged one
// are settled, so ctx should have a deadline.
//
// An error means that the save failed or that its outcome is not known. The save is repeated in
// the background, unless CommitEvery is negative, and Commit may be called again. Without a Store,
// Commit returns an error.
func (s *Subscription) Commit(ctx context.Context) error {
	if err := s.sealed(); err != nil {
		return err
	}
	if s.checkpoint == nil {
		return errors.New("client: Commit: the subscription has no Store")
	}
	return s.checkpoint.commit(ctx, s.window)
}

// Reconnect drops the connection and resumes after the last received event, without the delay that
// follows a failure. It does not wait for the new connection. After the end of the subscription it
// does nothing.
func (s *Subscription) Reconnect() {
	signal(s.redial)
	if drop := s.drop.Load(); drop != nil {
		(*drop)(errRedial)
	}
}

// Close ends the subscription: it closes the connection, joins every goroutine, saves what is
// acknowledged, and returns the error of that save. Close returns within a second, provided that
// the transport and the Store honour their contexts. It may be called more than once and from
// several goroutines; each call returns the same error.
//
// Close does not wait for the bodies of loops. An event that is being handled is not acknowledged:
// its Ack returns ErrClosed, and the event is delivered again after a restart. To let bodies
// finish, end the context of Subscribe first: no further events are delivered, the current event
// is acknowledged when its body ends, and a Close after the loop saves that.
func (s *Subscription) Close() error {
	if s.closing.Swap(true) {
		<-s.closed // not a sync.Once: its mutex would stop the clock of a synctest bubble
		return s.closeErr
	}
	defer close(s.closed)
	s.closeErr = s.shut()
	return s.closeErr
}

// flushWait is the maximum duration of the last save. If the context ends and Close is called,
// there are two such saves, which together must fit into Close's second.
const flushWait = 450 * time.Millisecond

func (s *Subscription) shut() error {
	s.cancel(ErrClosed)
	s.joined.Wait()
	closed := ErrClosed
	s.seal.CompareAndSwap(nil, &closed)
	err := s.flush()
	s.checkpoint.close()
	return err
}

// flush saves what is acknowledged, within flushWait.
func (s *Subscription) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	return s.checkpoint.flush(ctx)
}

// saved reports the outcome of an attempt to save.
func (s *Subscription) saved(e Save) {
	if e.Err == nil {
		s.stats.saves.Add(1)
	} else {
		s.stats.saveErrors.Add(1)
	}
	s.log.saved(e.Err)
	if s.opts.Trace.Saved != nil {
		s.opts.Trace.Saved(e)
	}
}
