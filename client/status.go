package client

import (
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// A Transition is a change of what a subscription is doing. In [Snapshot].Timeline it is also
// something that happened in a state: then State is that state, and Reason what happened.
type Transition struct {
	Time   time.Time
	State  State
	Reason string        // such as "connect failed" or "Pause"; never a secret
	Class  retry.Class   // of the failure, if Err is not empty
	Err    string        // text of the failure, as in the log; empty if there is none
	Delay  time.Duration // until the next attempt, if one follows

	// Count and Last are set in Snapshot.Timeline, where equal transitions share an entry: how many
	// there were, from 1, and when the last of them was.
	Count int
	Last  time.Time
}

// A status is what a subscription is doing, since when and why. It changes with connections, not
// with events.
type status struct {
	mu          sync.Mutex // held for a few instructions
	state       State
	since       time.Time
	next        time.Time // of an attempt that waits
	connected   time.Time // when the last connection was opened
	err         error     // why there is no connection, or why the subscription has ended
	last        failure
	outage      time.Time // of the last outage
	failures    int       // in it
	disconnects [retry.ClassPermanent + 1]uint64
}

// A failure is why an attempt failed or a connection ended.
type failure struct {
	err   error
	class retry.Class
	at    time.Time
}

// workedAfter is how long a connection without an event must be open before an outage has ended.
const workedAfter = time.Minute

// enter changes the state, and reports whether it was another one.
func (s *status) enter(state State, delay time.Duration, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Time{}
	if delay > 0 {
		s.next = now.Add(delay)
	}
	if s.state == state {
		return false
	}
	s.state, s.since = state, now
	return true
}

// connect records that a connection is open.
func (s *status) connect(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.connected = nil, now
}

// fail records a failure. outage is when the failures began that it is one of.
func (s *status) fail(f failure, outage time.Time, failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.last, s.outage, s.failures = f.err, f, outage, failures
	if int(f.class) < len(s.disconnects) {
		s.disconnects[f.class]++
	}
}

// failBackfill records a failed call of Options.Backfill.
func (s *status) failBackfill(f failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.last = f.err, f
}

// failStandby records that a standby has no access to the checkpoint.
func (s *status) failStandby(f failure, outage time.Time, failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.last, s.outage, s.failures = f.err, f, outage, failures
}

// recover records that a standby has access to the checkpoint.
func (s *status) recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.outage = nil, time.Time{}
}

// end records why the subscription has ended; nil is no failure.
func (s *status) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if err == nil {
		s.outage = time.Time{}
	}
}

// base returns the state without what Pause, Drain and a full buffer make of it.
func (s *status) base() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// describe sets the part of t that s keeps. lastEvent is when the last event was received.
func (s *status) describe(t *Stats, lastEvent, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.State, t.Since, t.NextAttempt, t.Err = s.state, s.since, s.next, s.err
	t.LastErr, t.LastErrClass, t.LastErrTime = s.last.err, s.last.class, s.last.at
	t.Connected = s.connected
	if !s.isOver(lastEvent, now) {
		t.Outage, t.OutageFailures = s.outage, s.failures
	}
	for class, n := range s.disconnects {
		if n > 0 {
			if t.Disconnects == nil {
				t.Disconnects = make(map[retry.Class]uint64, 2)
			}
			t.Disconnects[retry.Class(class)] = n
		}
	}
}

// isOver reports whether the outage is: there is a connection that has delivered an event or was
// open for a while. The caller holds mu.
func (s *status) isOver(lastEvent, now time.Time) bool {
	if s.outage.IsZero() || s.err != nil || s.state == StateConnecting || s.state == StateBackingOff {
		return s.outage.IsZero()
	}
	return !lastEvent.Before(s.connected) || now.Sub(s.connected) >= workedAfter
}

// enter reports that the subscription has entered a state.
func (r *reporter) enter(t Transition) {
	t.Time = time.Now()
	if r.now.enter(t.State, t.Delay, t.Time) || t.Reason != "" {
		r.changed(t)
	}
}

// overlay reports a state that the status does not keep, because another one continues under it.
func (r *reporter) overlay(state State, reason string) {
	r.changed(Transition{Time: time.Now(), State: state, Reason: reason})
}

func (r *reporter) changed(t Transition) {
	if f := r.trace.StateChanged; f != nil {
		f(t)
	}
	if t.Reason != "" { // otherwise it is an attempt, whose outcome follows
		r.watched.add(t)
	}
}

// note adds something to the timeline that is no change of state.
func (r *reporter) note(reason string, err error) {
	if r.watched != nil {
		r.watched.add(Transition{Time: time.Now(), State: r.now.base(), Reason: reason, Err: errorText(err)})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
