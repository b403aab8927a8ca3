package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/client/internal/window"
	"github.com/steadfeed/steadfeed/transport"
)

// A Subscription receives the events of one feed. All its methods may be called from several
// goroutines at once.
type Subscription struct {
	opts       Options
	loop       *loop
	window     *window.Window
	checkpoint *checkpoint // nil without a Store
	report     *reporter
	oldest     oldest

	ctx      context.Context // ends when no more events may be delivered; its cause is the reason
	cancel   context.CancelCauseFunc
	life     context.Context // ends when no more events can be settled: by Close, or fenced
	endLife  context.CancelCauseFunc
	sealed   seal
	letters  *deadLetters             // nil without Options.DeadLetter
	suspects atomic.Pointer[suspects] // nil unless earlier owners of the checkpoint made no progress
	epoch    atomic.Uint64            // of the checkpoint; 0 without one, and until it is taken over
	joined   *sync.WaitGroup          // the loop

	closing  atomic.Bool    // Close was called
	over     atomic.Bool    // Close has returned
	closed   sync.WaitGroup // the first Close
	closeErr error          // its result
}

// A seal is set once the position can no longer move.
type seal struct{ why atomic.Pointer[error] }

// set seals the position unless it is sealed already.
func (s *seal) set(why error) { s.why.CompareAndSwap(nil, &why) }

// reason returns why the position can no longer move, or nil while it can.
func (s *seal) reason() error {
	if why := s.why.Load(); why != nil {
		return *why
	}
	return nil
}

// Subscribe starts receiving events from src: it reads the connections of a [transport.Transport],
// or listens to a [transport.Receiver]. It does not wait for a connection: a source that cannot be
// reached is retried under opts.Retry, and only [Options.Logger], [Options.Trace] and
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
func Subscribe(ctx context.Context, src transport.Source, opts *Options) (*Subscription, error) {
	if err := validate(ctx, src, opts); err != nil {
		return nil, err
	}
	s := &Subscription{opts: opts.withDefaults(), joined: new(sync.WaitGroup)}
	s.closed.Add(1)
	s.window = window.New(s.opts.Buffer, s.opts.BufferBytes)
	s.report = &reporter{trace: s.opts.Trace, log: s.opts.Logger}
	s.report.begin(time.Now())
	s.report.watched = s.opts.Monitor.watch(s, src)
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.life, s.endLife = context.WithCancelCause(context.WithoutCancel(ctx))
	if s.opts.DeadLetter != nil {
		s.letters = &deadLetters{sub: s, wake: make(chan struct{}, 1)}
	}
	s.loop = s.newLoop(src)
	if s.opts.Store != nil {
		if err := s.openCheckpoint(ctx); err != nil {
			s.cancel(err)
			s.endLife(err)
			return nil, err
		}
	}
	s.report.watched.begin()
	s.joined.Go(s.loop.run)
	return s, nil
}

// newLoop returns a loop that starts without a stored position.
func (s *Subscription) newLoop(src transport.Source) *loop {
	in := &intake{opts: &s.opts, window: s.window, report: s.report,
		token: s.opts.StartAfter, ids: newRecent(s.opts.Dedupe),
		sequences: sequences{limit: s.opts.SequenceKeys}}
	in.prepare(isPushed(src))
	in.overflow = policyOf(&s.opts)
	if in.overflow.usesQueue() {
		s.window.UseQueue(in.token)
	}
	taking, stopTaking := context.WithCancelCause(s.ctx)
	l := &loop{
		ctx:        s.ctx,
		taking:     taking,
		stopTaking: stopTaking,
		pushed:     isPushed(src),
		in:         in,
		window:     s.window,
		report:     s.report,
		sealed:     &s.sealed,
		connected:  make(chan struct{}),
		ended:      make(chan struct{}),
		redial:     make(chan struct{}, 1),
		backoff:    s.opts.Retry.Start(),
	}
	switch src := src.(type) {
	case transport.Transport:
		l.transport = src
	case transport.Receiver:
		l.receiver = src
	}
	return l
}

// openCheckpoint takes the checkpoint over, unless it is leased to another subscription.
func (s *Subscription) openCheckpoint(ctx context.Context) error {
	c := &checkpoint{
		every:     s.opts.CommitEvery,
		window:    s.window,
		onRequest: s.opts.CommitEvery < 0,
		ended:     make(chan struct{}),
		life:      s.life,
		hands:     func() bool { return s.ctx.Err() == nil && s.window.Backlog().Events > 0 },
		ledger: ledger{
			store:      s.opts.Store,
			key:        s.opts.Name,
			commitOnly: s.opts.CommitEvery < 0,
			report:     s.report.saved,
			contested:  s.report.contested,
			awaited:    s.report.awaited,
			standsBy:   s.report.standsBy,
			startAfter: s.opts.StartAfter,
			overrideID: s.opts.OverrideID,
			buries:     s.opts.DeadLetter != nil && s.opts.CommitEvery >= 0,
			stop:       s.fail,
		},
	}
	c.tenure = newTenure(s.opts.Lease, s.expired)
	c.ledger.tenure = c.tenure
	if c.tenure != nil {
		c.every = min(c.every, s.opts.Lease/renewPart)
	}
	// Saving outlives ctx: what was acknowledged before its end must still be saved.
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.checkpoint, s.loop.checkpoint, s.loop.in.checkpoint = c, c, c
	stored, err := c.ledger.takeOver(ctx)
	var other *leased
	switch {
	case errors.As(err, &other):
		s.report.standsBy(other.rec)
		s.loop.turn = func() error {
			stored, err := s.takeTurn(s.loop.taking, other)
			if err == nil {
				s.report.takenOver(&c.ledger.rec)
				s.own(stored)
			}
			return err
		}
	case err != nil:
		c.tenure.close()
		c.cancel()
		return err
	default:
		s.own(stored)
	}
	return nil
}

// own makes the subscription resume from the stored position, after it has taken the checkpoint over.
func (s *Subscription) own(stored record) {
	l, c := s.loop, s.checkpoint
	if c.ledger.overrides {
		s.report.overridden(s.opts.OverrideID)
	}
	if stored.Token != "" || stored.Events > 0 {
		l.in.token = stored.Token
	}
	if l.in.overflow.usesQueue() {
		s.window.StartQueue(l.in.token)
	}
	// It is not known whether an earlier process was connected; it may have lost events.
	l.hasConnected, l.broken = stored.Epoch > 0, stored.Epoch > 0
	s.epoch.Store(c.ledger.rec.Epoch)
	s.suspects.Store(newSuspects(s, &c.ledger))
	c.own(stored)
}

// fail ends the subscription because it no longer owns its position.
func (s *Subscription) fail(err error) {
	s.sealed.set(err)
	s.cancel(err)
	s.endLife(err)
}

// WaitConnected returns nil once the subscription has been connected. It lets a program fail early
// if a host, a credential or a certificate is wrong; the subscription itself retries under
// Options.Retry. If ctx ends first, the error wraps its cause and the last failure. If the
// subscription ends first, the error is that of Next.
func (s *Subscription) WaitConnected(ctx context.Context) error { return s.loop.waitConnected(ctx) }

// Commit returns nil once every event acknowledged so far is durable, in the sense that the Store
// documents. In the body of a loop, call ev.Ack first: without it, the current event is
// acknowledged only after the body. Commit also waits until all events before an acknowledged one
// are settled, so ctx should have a deadline.
//
// An error means that the save failed or that its outcome is not known. The save is repeated in
// the background, unless CommitEvery is negative, and Commit may be called again. Without a Store,
// Commit returns an error.
func (s *Subscription) Commit(ctx context.Context) error {
	if err := s.sealed.reason(); err != nil {
		return err
	}
	if s.checkpoint == nil {
		return errors.New("client: Commit: the subscription has no Store: set Options.Store")
	}
	if !s.checkpoint.isOwner() {
		return nil // nothing is acknowledged
	}
	return s.checkpoint.commit(ctx)
}

// Reconnect drops the connection and resumes after the last received event, without the delay that
// follows a failure. It does not wait for the new connection. After the end of the subscription it
// does nothing.
func (s *Subscription) Reconnect() { s.loop.reconnect() }

// Close ends the subscription: it closes the connection, joins every goroutine, saves what is
// acknowledged, and returns the error of that save. Close returns within a second, provided that
// the transport, the Store, Backfill and DeadLetter honor their contexts. They must not call it. It
// may be called more than once and from several goroutines; each call returns the same error.
//
// Close does not wait for the bodies of loops. An event that is being handled is not acknowledged:
// its Ack returns ErrClosed, and the event is delivered again after a restart. To let bodies
// finish, call [Subscription.Drain] first, which handles the events in the buffer too. Or end the
// context of Subscribe first: no further events are delivered, the current event is acknowledged when
// its body ends, and a Close after the loop saves that.
func (s *Subscription) Close() error {
	if s.closing.Swap(true) {
		s.closed.Wait() // not a sync.Once: its mutex would stop the clock of a synctest bubble
		return s.closeErr
	}
	defer s.closed.Done()
	s.closeErr = s.shut()
	s.over.Store(true)
	return s.closeErr
}

func (s *Subscription) shut() error {
	s.cancel(ErrClosed)
	s.endLife(ErrClosed)
	s.letters.stop()
	s.joined.Wait()
	s.sealed.set(ErrClosed)
	err := s.checkpoint.flush(true)
	s.checkpoint.close()
	s.report.watched.close()
	return err
}
