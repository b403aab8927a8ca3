package client

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// quotas are those of records that each event may cause.
type quotas struct{ gap, overflow, panicked, discarded, deadLettered quota }

// A reporter reports what happens to a subscription, through Options.Trace, Options.Logger and
// Stats. It may be used by several goroutines at once.
type reporter struct {
	trace    *Trace
	log      *slog.Logger
	stats    counters
	flow     flow
	now      status
	watched  *watched              // nil without Options.Monitor
	failure  atomic.Pointer[error] // the last one
	unsaved  saveOutage
	quotas   quotas
	unfilled trouble // failed calls of Options.Backfill for one gap; used by one goroutine at a time
}

// begin is called by Subscribe.
func (r *reporter) begin(now time.Time) {
	r.now.since = now
	r.flow.start(now)
}

// connecting reports that an attempt to connect starts.
func (r *reporter) connecting(c *connection) {
	c.id = r.stats.attempts.Add(1)
	if f := r.trace.Connecting; f != nil {
		f(c.info())
	}
}

// connectedTo reports that a connection is open.
func (l *loop) connectedTo(c *connection) {
	r := l.report
	r.now.connect(time.Now())
	r.stats.connections.Add(1)
	l.logConnected(c)
	if f := r.trace.Connected; f != nil {
		f(c.info())
	}
	how := "connected"
	if c.follows {
		how = deliberate[errReplaced]
	}
	r.enter(Transition{State: StateLive, Reason: how})
}

// info describes the attempt.
func (c *connection) info() ConnectInfo {
	return ConnectInfo{ID: c.id, Number: c.attempt, Resuming: c.resuming, Handover: c.follows, Took: c.took}
}

// disconnected reports that c has failed or ended, and what follows.
func (l *loop) disconnected(c *connection, d retry.Decision) {
	l.report.failure.Store(&c.err)
	if !c.isAttempt() {
		return
	}
	planned := l.endsWith(c.err) || isDeliberate(c.err) || isReplaced(c.err)
	if l.taking.Err() == nil && !d.Stop {
		l.logDisconnected(c, d)
	}
	if !planned {
		l.report.now.fail(failure{c.err, d.Class, time.Now()}, l.outage.since, l.outage.failures)
	}
	l.report.disconnected(c, d, planned)
}

// notReplaced reports that an attempt to open a successor has failed.
func (r *reporter) notReplaced(c *connection, d retry.Decision) {
	level := slog.LevelDebug
	if d.Attempt == 1 {
		level = slog.LevelWarn
	}
	r.log.Log(context.Background(), level, "handover failed", "error", c.err, "class", d.Class.String(),
		"attempt", d.Attempt, "delay", d.Delay)
	r.note("handover failed", c.err)
	r.disconnected(c, d, false)
}

// dropped reports that a successor, or the attempt to open it, is not used.
func (r *reporter) dropped(c *connection, err error) {
	c.err = err
	r.disconnected(c, retry.Decision{}, true)
}

func (r *reporter) disconnected(c *connection, d retry.Decision, planned bool) {
	if f := r.trace.Disconnected; f != nil {
		f(DisconnectInfo{ID: c.id, Err: c.err, Opened: c.opened, Planned: planned, Handover: c.follows,
			Events: c.progress.events, Uptime: c.uptime, Class: d.Class, Delay: d.Delay, Final: d.Stop})
	}
}

// gap reports a possible loss.
func (r *reporter) gap(g Gap) {
	r.stats.gaps.Add(1)
	r.stats.lastGap.Store(time.Now().UnixNano())
	r.note("gap: "+reasonOf(g.Reason), nil)
	if g.Reason != transport.GapOverflow { // of which lost logs each event
		args := []any{"reason", reasonOf(g.Reason)}
		if g.Missed > 0 {
			args = append(args, "missed", g.Missed)
		}
		r.logLimited(&r.quotas.gap, slog.LevelWarn, "events may be missing", args)
	}
	if r.trace.Gap != nil {
		r.trace.Gap(g)
	}
}

// reasonOf returns a reason for logs and timelines. A Transport of the program may have put any text
// there, such as what its server has sent.
func reasonOf(r transport.GapReason) string {
	switch r {
	case transport.GapStart, transport.GapTokenRejected, transport.GapNoToken, transport.GapSequence,
		transport.GapNotice, transport.GapBadFrame, transport.GapOverflow:
		return string(r)
	}
	return "other"
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
	r.logLimited(&r.quotas.panicked, slog.LevelError, "handler panicked", e.attributes("panic", p.Value, "stack", string(p.Stack)))
}

// discarded reports that an event was refused permanently and dropped.
func (r *reporter) discarded(e *Event, reason error) {
	r.logLimited(&r.quotas.discarded, slog.LevelError, "event refused permanently and dropped: set Options.DeadLetter",
		e.attributes("error", reason))
}

// deadLettered reports the outcome of a call of DeadLetter. t are the failures in a row, and logged
// reports whether they are to be logged.
func (r *reporter) deadLettered(l *deadLetter, err error, t trouble, logged bool) {
	if err == nil {
		r.stats.deadLettered.Add(1)
		r.logLimited(&r.quotas.deadLettered, slog.LevelWarn, "event dead-lettered", l.event.attributes("reason", l.reason))
		r.note("event dead-lettered", nil)
		if logged {
			r.log.Info("events are dead-lettered again", "failures", t.count, "outage", time.Since(t.since))
		}
	} else {
		if logged {
			outage := time.Since(t.since)
			r.log.Log(context.Background(), loudness(true, outage), "event not dead-lettered",
				l.event.attributes("error", err, "failures", t.count, "outage", outage)...)
		}
		r.note("event not dead-lettered", err)
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

// hasPublicID reports whether the id may be logged.
func (e *Event) hasPublicID() bool { return isPublicID(e.ID, e.Token) }

// isPublicID reports whether an event's id may be logged: a token can be a secret.
func isPublicID(id, token string) bool { return id != "" && id != token }

// saved reports the outcome of an attempt to save.
func (r *reporter) saved(e SaveInfo) {
	if e.Err == nil {
		r.stats.saves.Add(1)
		r.stats.lastSave.Store(time.Now().UnixNano())
	} else {
		r.stats.saveErrors.Add(1)
	}
	r.logSaved(e.Err)
	if e.Err != nil {
		r.note("checkpoint not saved", e.Err)
	}
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
		outage := now.Sub(t.since)
		r.log.Log(context.Background(), loudness(true, outage), "checkpoint not saved", "error", err, "failures", t.count, "outage", outage)
	default:
		r.note("checkpoint saved again", nil)
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
	r.log.Info("checkpoint is watched: whether its owner lives decides about an event that may have ended the process",
		"owner", owner, "waiting_at_most", atMost)
}

// standsBy reports that the subscription waits for the lease of another one.
func (r *reporter) standsBy(owner record) {
	r.log.Info("standing by", "owner", owner.Owner, "epoch", owner.Epoch, "lease", owner.lease())
	r.now.recover()
	r.enter(Transition{State: StateStandby, Reason: "another owner has the lease"})
}

// notTakenOver reports that a standby could not read the checkpoint or take it over.
func (r *reporter) notTakenOver(err error, t *trouble) {
	now := time.Now()
	log := t.again(now)
	if log {
		outage := now.Sub(t.since)
		r.log.Log(context.Background(), loudness(true, outage), "checkpoint not taken over", "error", err, "failures", t.count, "outage", outage)
	}
	r.note("checkpoint not taken over", err)
	r.now.failStandby(failure{err, retry.Classify(err), now}, t.since, t.count)
}

// takenOver reports that a standby owns the checkpoint now.
func (r *reporter) takenOver(rec *record) {
	r.log.Info("checkpoint taken over", "epoch", rec.Epoch)
	r.now.recover()
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

// reportEnd reports the end. An end that the program asked for is no error.
func (l *loop) reportEnd() {
	r, err := l.report, loopError(l.result)
	t := Transition{State: StateEnded, Reason: "failed", Err: errorText(err)}
	switch {
	case err == nil && l.result != io.EOF:
		t.Reason = "Close"
	case err == nil && context.Cause(l.taking) == errDrained:
		t.Reason = "Drain"
	case err == nil:
		t.Reason = "complete"
	case l.isStopped():
		t.Reason = "context"
	}
	switch t.Reason {
	case "failed":
		r.now.end(err)
		r.log.Error("ended", "error", err)
	case "context":
		r.now.end(nil)
		r.log.Info("ended", "reason", err)
	default:
		r.now.end(nil)
		r.log.Info("ended", "reason", t.Reason)
	}
	r.enter(t)
}
