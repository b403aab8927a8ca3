package client

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// A reporter reports what happens to a subscription, through Options.Trace, Options.Logger and
// Stats. It may be used by several goroutines at once.
type reporter struct {
	trace    *Trace
	log      *slog.Logger
	stats    counters
	failure  atomic.Pointer[error] // the last one
	unsaved  saveOutage
	unfilled trouble // failed calls of Options.Backfill for one gap; used by one goroutine at a time
}

// connecting reports that an attempt to connect starts.
func (r *reporter) connecting(c *connection) {
	r.stats.attempts.Add(1)
	if f := r.trace.Connecting; f != nil {
		f(ConnectInfo{Number: c.attempt, Resuming: c.resuming})
	}
}

// connectedTo reports that a connection is open.
func (l *loop) connectedTo(c *connection) {
	l.report.stats.set(StateLive)
	l.report.stats.connections.Add(1)
	l.logConnected(c)
	if f := l.report.trace.Connected; f != nil {
		f(ConnectInfo{Number: c.attempt, Resuming: c.resuming, Took: c.took})
	}
}

// disconnected reports that c has failed or ended, and what follows.
func (l *loop) disconnected(c *connection, d retry.Decision) {
	if l.taking.Err() == nil && !d.Stop && c.isAttempt() {
		l.logDisconnected(c, d)
	}
	l.report.failure.Store(&c.err)
	if c.isAttempt() {
		l.report.disconnected(c, d)
	}
}

// notReplaced reports that an attempt to open a successor has failed.
func (r *reporter) notReplaced(c *connection, d retry.Decision) {
	level := slog.LevelDebug
	if d.Attempt == 1 {
		level = slog.LevelWarn
	}
	r.log.Log(context.Background(), level, "handover failed", "error", c.err, "class", d.Class.String(),
		"attempt", d.Attempt, "delay", d.Delay)
	r.disconnected(c, d)
}

func (r *reporter) disconnected(c *connection, d retry.Decision) {
	if f := r.trace.Disconnected; f != nil {
		f(DisconnectInfo{Err: c.err, Opened: c.opened, Events: c.progress.events, Uptime: c.uptime,
			Class: d.Class, Delay: d.Delay, Final: d.Stop})
	}
}

// gap reports a possible loss.
func (r *reporter) gap(g Gap) {
	r.stats.gaps.Add(1)
	args := []any{"reason", string(g.Reason)}
	if g.Missed > 0 {
		args = append(args, "missed", g.Missed)
	}
	r.log.Warn("events may be missing", args...)
	if r.trace.Gap != nil {
		r.trace.Gap(g)
	}
}

// nacked reports that a consumer has refused an event.
func (r *reporter) nacked(e *Event, reason error) {
	r.stats.nacked.Add(1)
	if r.trace.Nacked != nil {
		r.trace.Nacked(*e, reason)
	}
}

// panicked reports that a handler panicked.
func (r *reporter) panicked(e *Event, p *PanicError) {
	r.log.Error("handler panicked", e.attributes("panic", p.Value, "stack", string(p.Stack))...)
}

// discarded reports that an event was refused permanently and dropped.
func (r *reporter) discarded(e *Event, reason error) {
	r.log.Error("event refused permanently and dropped: set Options.DeadLetter", e.attributes("error", reason)...)
}

// deadLettered reports the outcome of a call of DeadLetter. t are the failures in a row, and logged
// reports whether they are to be logged.
func (r *reporter) deadLettered(l *deadLetter, err error, t trouble, logged bool) {
	if err == nil {
		r.stats.deadLettered.Add(1)
		r.log.Warn("event dead-lettered", l.event.attributes("reason", l.reason)...)
		if logged {
			r.log.Info("events are dead-lettered again", "failures", t.count, "outage", time.Since(t.since))
		}
	} else if logged {
		r.log.Warn("event not dead-lettered", l.event.attributes("error", err, "failures", t.count, "outage", time.Since(t.since))...)
	}
	if r.trace.DeadLettered != nil {
		r.trace.DeadLettered(l.event, l.reason, err)
	}
}

// attributes returns args and what the log may contain of the event.
func (e *Event) attributes(args ...any) []any {
	args = append(args, "attempt", e.Attempt)
	if e.hasPublicID() {
		args = append(args, "id", e.ID)
	}
	return args
}

// hasPublicID reports whether the id may be logged: a token can be a secret.
func (e *Event) hasPublicID() bool { return e.ID != "" && e.ID != e.Token }

// saved reports the outcome of an attempt to save.
func (r *reporter) saved(e SaveInfo) {
	if e.Err == nil {
		r.stats.saves.Add(1)
	} else {
		r.stats.saveErrors.Add(1)
	}
	r.logSaved(e.Err)
	if r.trace.Saved != nil {
		r.trace.Saved(e)
	}
}

// A saveOutage decides which failed saves are logged.
type saveOutage struct {
	mu  sync.Mutex // never held while logging
	now trouble
}

func (o *saveOutage) record(err error, now time.Time) (t trouble, log bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now.record(err, now)
}

// trouble counts failures in a row.
type trouble struct {
	since time.Time
	count int
	pace  growing
}

// record counts an outcome. It returns the failures in a row, including those that a success ends, and
// whether to log the outcome.
func (t *trouble) record(err error, now time.Time) (was trouble, log bool) {
	if err != nil {
		log = t.again(now)
		return *t, log
	}
	was, *t = *t, trouble{}
	return was, was.count > 0
}

// again counts one more failure and reports whether to log it.
func (t *trouble) again(now time.Time) bool {
	if t.count++; t.count == 1 {
		t.since = now
		t.pace.start(now, firstReminder)
		return true
	}
	return t.pace.next(now)
}

func (r *reporter) logSaved(err error) {
	now := time.Now()
	t, log := r.unsaved.record(err, now)
	switch {
	case !log:
	case err != nil:
		r.log.Warn("checkpoint not saved", "error", err, "failures", t.count, "outage", now.Sub(t.since))
	default:
		r.log.Info("checkpoint saved again", "failures", t.count, "outage", now.Sub(t.since))
	}
}

// contested reports that Subscribe waits because the record keeps being taken over.
func (r *reporter) contested(takeovers uint, owner string, atMost time.Duration) {
	r.log.Warn("checkpoint is contested: run one subscription of a name at a time, or give each a name of its own",
		"takeovers", takeovers, "owner", owner, "waiting_at_most", atMost)
}

// awaited reports that Subscribe waits until it knows whether the owner of the record has died.
func (r *reporter) awaited(owner string, atMost time.Duration) {
	r.log.Info("event may have ended the process: watching whether the owner of the checkpoint lives",
		"owner", owner, "waiting_at_most", atMost)
}

// overridden reports that StartAfter has replaced the stored position.
func (r *reporter) overridden(id string) {
	r.log.Info("stored position overridden", "override_id", id)
}

// suspected reports the first event that is handed out after crashes without progress.
func (r *reporter) suspected(e *Event, crashes int) {
	r.log.Warn("event may have ended the process: handing out one at a time", e.attributes("crashes", crashes)...)
	if r.trace.Suspected != nil {
		r.trace.Suspected(*e, crashes)
	}
}

// logEnded logs the end. An end that the program asked for is no error.
func (r *reporter) logEnded(err error, asked bool) {
	switch {
	case err == nil:
		r.log.Info("ended")
	case asked:
		r.log.Info("ended", "reason", err)
	default:
		r.log.Error("ended", "error", err)
	}
}
