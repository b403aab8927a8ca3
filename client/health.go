package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Healthy returns nil if the subscription works, or recovers by itself: also while it backs off, and
// after the program has ended it. It returns an error if the subscription has ended with one, or if a
// consumer is stuck: see Options.StuckAfter. Without [Options].Monitor, it must be called regularly,
// because it measures from when an event was first seen.
func (s *Subscription) Healthy() error { return s.unhealthy().err(s) }

// Ready returns nil if the subscription takes events in, or is ready to: a connection is read, or would
// be but for a full buffer or a backfill, or it is a standby. It returns an error while there is no connection, while the subscription
// is paused or drained, after its end, and if it is not Healthy. The error wraps the last failure.
func (s *Subscription) Ready() error { return s.unready().err(s) }

// A finding is what a probe has found; "" is nothing.
type finding string

const (
	isStuck        finding = "consumer is stuck"
	hasFailed      finding = "ended with an error"
	hasEnded       finding = "ended"
	isPaused       finding = "paused"
	isDraining     finding = "draining"
	isNotConnected finding = "not connected"
	backfillFails  finding = "backfill fails"
	cannotTakeOver finding = "standby cannot take the checkpoint over"
)

func (s *Subscription) unhealthy() finding {
	now := time.Now()
	if isClosed(s.loop.ended) && s.report.now.why() != nil {
		return hasFailed
	}
	b := s.window.Backlog()
	since := s.oldest.see(&b, now)
	if limit := s.opts.StuckAfter; limit > 0 && b.Events > 0 && !b.Waits && now.Sub(since) >= limit {
		return isStuck
	}
	return ""
}

func (s *Subscription) unready() finding {
	if f := s.unhealthy(); f != "" {
		return f
	}
	t := Stats{State: s.report.now.base()}
	s.overlay(&t)
	switch {
	case isClosed(s.loop.ended):
		return hasEnded
	case t.State == StateEnded:
		return isDraining
	case t.State == StatePaused:
		return isPaused
	case t.State == StateConnecting || t.State == StateBackingOff:
		return isNotConnected
	case t.State == StateBackfilling && s.report.now.why() != nil:
		return backfillFails
	case t.State == StateStandby && s.report.now.why() != nil:
		return cannotTakeOver
	}
	return ""
}

// err returns what was found as an error of s.
func (f finding) err(s *Subscription) error {
	why := s.report.now.why()
	switch {
	case f == "":
		return nil
	case f == isStuck:
		t := s.Stats()
		return fmt.Errorf("client: consumer is stuck: it has neither acknowledged nor refused the oldest event (attempt %d) since %v",
			t.OldestAttempt, t.OldestSince.UTC().Format(time.RFC3339))
	case why != nil:
		return fmt.Errorf("client: %s: %w", f, why)
	}
	return errors.New("client: " + string(f))
}

// why returns why there is no connection, or why the subscription has ended, or nil.
func (s *status) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Healthy returns nil if every subscription is healthy that was not closed, and otherwise an error with
// the first ones that are not.
func (m *Monitor) Healthy() error { return m.probe((*Subscription).unhealthy).err() }

// Ready returns nil if every subscription is ready that is not closed and has not ended without an
// error, and there is one.
func (m *Monitor) Ready() error { return m.ready().err() }

func (m *Monitor) ready() *report {
	r := m.probe((*Subscription).unready)
	r.Empty = r.Checked == 0
	return r
}

// ServeHealth answers the liveness probe of an orchestrator, such as a GET of /healthz, with 200 if
// [Monitor.Healthy] returns nil and 503 otherwise. With the query details=1, the body is a JSON object
// that lists what is wrong, with the names, states and times of the subscriptions, but no errors, ids
// or tokens.
//
// An orchestrator restarts a process whose liveness probe fails. A process that should survive one
// stuck consumer among many should not use this handler.
func (m *Monitor) ServeHealth(w http.ResponseWriter, r *http.Request) {
	m.probe((*Subscription).unhealthy).serve(w, r)
}

// ServeReady answers the readiness probe of an orchestrator, such as a GET of /readyz, like
// ServeHealth, by [Monitor.Ready].
func (m *Monitor) ServeReady(w http.ResponseWriter, r *http.Request) { m.ready().serve(w, r) }

// A report is what a probe answers.
type report struct {
	Status  string    `json:"status"` // "ok" or "unavailable"
	Checked int       `json:"checked"`
	Failing int       `json:"failing"`
	Empty   bool      `json:"-"` // there is nothing to be ready
	Details []problem `json:"details,omitempty"`

	errs []error
}

// A problem is a subscription that is not healthy or ready.
type problem struct {
	ID          uint64     `json:"id"`
	Name        string     `json:"name,omitempty"`
	Problem     finding    `json:"problem"`
	State       State      `json:"state"`
	Since       time.Time  `json:"since"`
	Outage      *time.Time `json:"outage_since,omitempty"`
	Failures    int        `json:"failures,omitempty"`
	Class       string     `json:"class,omitempty"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	Buffered    int        `json:"buffered"`
	OldestSince *time.Time `json:"oldest_since,omitempty"`
}

const maxProblems = 100 // in an answer

// probe checks the subscriptions that are not closed.
func (m *Monitor) probe(check func(*Subscription) finding) *report {
	r := &report{}
	for _, w := range m.all() {
		w.mu.Lock()
		s := w.sub
		w.mu.Unlock()
		if s == nil {
			continue
		}
		f := check(s)
		if f == hasEnded {
			continue
		}
		if r.Checked++; f == "" {
			continue
		}
		if r.Failing++; r.Failing <= maxProblems {
			r.Details = append(r.Details, w.problem(s, f))
			r.errs = append(r.errs, fmt.Errorf("subscription %d %q: %w", w.id, w.name, f.err(s)))
		}
	}
	return r
}

func (w *watched) problem(s *Subscription, f finding) problem {
	t := s.Stats()
	p := problem{ID: w.id, Name: w.name, Problem: f, State: t.State, Since: t.Since, Outage: known(t.Outage), Failures: t.OutageFailures,
		NextAttempt: known(t.NextAttempt), Buffered: t.Buffered, OldestSince: known(t.OldestSince)}
	if t.Err != nil && t.Err == t.LastErr {
		p.Class = t.LastErrClass.String()
	}
	return p
}

// known returns nil for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

var errNoSubscription = errors.New("client: no subscription runs")

// err returns nil if nothing was found.
func (r *report) err() error {
	switch {
	case r.Empty:
		return errNoSubscription
	case r.Failing == 0:
		return nil
	}
	first := r.errs[:min(len(r.errs), 10)]
	return fmt.Errorf("client: %d of %d subscriptions: %w", r.Failing, r.Checked, errors.Join(first...))
}

func (r *report) serve(w http.ResponseWriter, req *http.Request) {
	code := http.StatusOK
	if r.Status = "ok"; r.Empty || r.Failing > 0 {
		code, r.Status = http.StatusServiceUnavailable, "unavailable"
	}
	w.Header().Set("Cache-Control", "no-store")
	if req.URL.Query().Get("details") != "1" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		fmt.Fprintln(w, r.Status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(r)
}
