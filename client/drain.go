package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A valve decides whether events are taken in. Once it is shut, it stays shut.
type valve struct {
	state atomic.Int32 // valveOpen, valvePaused or valveShut

	mu      sync.Mutex    // held for a few instructions
	resumed chan struct{} // closed at the end of the pause; nil unless paused
	since   time.Time     // of the state
}

const (
	valveOpen int32 = iota
	valvePaused
	valveShut
)

func (v *valve) isOpen() bool   { return v.state.Load() == valveOpen }
func (v *valve) isPaused() bool { return v.state.Load() == valvePaused }
func (v *valve) isShut() bool   { return v.state.Load() == valveShut }

// pause pauses an open valve, and reports whether it was one.
func (v *valve) pause() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.isOpen() {
		return false
	}
	v.resumed, v.since = make(chan struct{}), time.Now()
	v.state.Store(valvePaused)
	return true
}

// resume opens a paused valve, and reports whether it was one.
func (v *valve) resume() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.isPaused() {
		return false
	}
	v.become(valveOpen)
	return true
}

// shut shuts the valve, and reports whether it was not shut before.
func (v *valve) shut() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.isShut() {
		return false
	}
	v.become(valveShut)
	return true
}

// become ends a pause, if there is one, with another state. The caller holds mu.
func (v *valve) become(state int32) {
	v.since = time.Now()
	v.state.Store(state)
	if v.resumed != nil {
		close(v.resumed)
		v.resumed = nil
	}
}

// lastChange returns when the valve was paused, resumed or shut.
func (v *valve) lastChange() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.since
}

// changed returns a channel that is closed at the end of the pause, or nil if there is none.
func (v *valve) changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.resumed
}

// Pause stops taking events in until Resume is called. Events in the buffer are still delivered,
// and what is acknowledged is still saved. Pause does not wait: an event that is being received at
// this moment may still be delivered. [Stats].State is StatePaused meanwhile. A second Pause
// changes nothing, and neither does one after Drain or the end.
//
// The connection stays open. It is read up to the next event, which is held, and then not any
// further: the feed slows down as it does for a full buffer. A WebSocket with a position to resume
// from is then closed after transport.WebSocket.MaxPause, and opened again by Resume. A connection
// that ends for another reason is replaced as usual. A server may drop what a connection does not
// read for long; that is a Gap if the server or [Options.SequenceOf] shows it. Options.Backfill may
// be called meanwhile, but its deliver waits.
//
// A [transport.Receiver] refuses deliveries as with a full buffer: a webhook.Receiver answers 503 with
// Retry-After, and the sender repeats them.
func (s *Subscription) Pause() {
	if s.loop.in.valve.pause() {
		s.report.log.Info("paused")
		s.report.overlay(StatePaused, "Pause")
	}
}

// Resume ends the effect of Pause. If the subscription is not paused, it changes nothing.
func (s *Subscription) Resume() {
	if s.loop.in.valve.resume() {
		s.report.log.Info("resumed")
		s.report.overlay(s.report.now.base(), "Resume")
	}
}

// errDrained ends connections. Consumers get io.EOF instead, as after a complete feed.
var errDrained = errors.New("client: Drain was called")

// Drain ends the subscription after the events that it has received: it closes the connection, waits
// until every event in the buffer is acknowledged, and commits if there is a Store. Loops over Events
// end without an error, Process returns nil, and Next returns io.EOF. An event that was refused is
// waited for until a later attempt has succeeded or [Options.DeadLetter] has accepted it. The caller
// must still call Close.
//
// Consumers must continue until their loops end. So call Drain from another goroutine: in the body of a
// loop, it would wait for that body. Do not end the context given to Subscribe meanwhile, because no
// further event would be delivered.
//
// If ctx ends first, Drain returns an error that wraps its cause. Then call Drain again, or Close: what
// is not acknowledged is delivered again after a restart with a Store. Drain also returns the error of
// Commit. If the subscription ends or has ended for another reason, Drain returns the error of Next, or
// nil if the feed is complete.
//
// An event that was not received in full, or for which the buffer had no space, is dropped. A feed with
// positions sends it again after a restart; of one without positions, it is lost.
//
// A [transport.Receiver] refuses new deliveries, and their senders repeat them; a webhook.Receiver
// answers 503. It is closed once everything that it has accepted is acknowledged, so that senders that
// wait get their answer. Another Subscribe may use it again, unlike after its own Drain.
func (s *Subscription) Drain(ctx context.Context) error {
	s.loop.drain()
	if err := s.awaitDrained(ctx); err != nil {
		return err
	}
	if s.checkpoint != nil {
		if err := s.Commit(ctx); err != nil {
			return err
		}
	}
	return loopError(s.loop.result)
}

// awaitDrained returns nil once every event is settled and the loop has ended.
func (s *Subscription) awaitDrained(ctx context.Context) error {
	for {
		changed, stop := s.window.Watch()
		settled := s.loop.in.isSettled()
		if settled && isClosed(s.loop.ended) {
			stop()
			return nil
		}
		ended := s.loop.ended
		if !settled {
			ended = nil
		}
		var err error
		select {
		case <-changed:
		case <-ended:
		case <-s.ctx.Done():
			err = context.Cause(s.ctx)
		case <-ctx.Done():
			err = fmt.Errorf("client: not drained: %w (events not acknowledged: %d)", context.Cause(ctx), s.window.Backlog().Events)
		}
		if stop(); err != nil {
			return err
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drain ends the loop: at once, or once the events of a Receiver are settled, because their senders
// wait.
func (l *loop) drain() {
	if l.in.valve.shut() {
		l.report.log.Info("draining", "buffered", l.window.Backlog().Events)
		l.report.overlay(StateEnded, "Drain")
	}
	l.stopTaking(errDrained)
}

// end returns why the loop takes in nothing more.
func (l *loop) end() error {
	if cause := context.Cause(l.taking); cause != errDrained {
		return cause
	}
	return io.EOF
}

// endDrained ends the connection of a Receiver when the subscription is drained. stop joins the
// goroutine that this starts.
func (c *connection) endDrained() (stop func()) {
	ctx, cancel := context.WithCancel(c.life.ctx)
	done := make(chan struct{})
	unlink := context.AfterFunc(c.loop.taking, func() {
		defer close(done)
		if context.Cause(c.loop.taking) != errDrained {
			return
		}
		c.full.stop() // only one goroutine presses
		if c.waitSettled(ctx) == nil {
			c.life.cancel(errDrained)
		}
	})
	return func() {
		if cancel(); !unlink() {
			<-done
		}
	}
}
