package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// An outage decides at which level failures are logged until a connection makes progress and either
// delivers an event or ends cleanly. A quiet feed that is cut every minute is one outage.
type outage struct {
	since    time.Time // of the first failure; zero before any
	failures int
	seen     [retry.ClassPermanent + 1]bool // classes
	pace     growing
	down     bool // the last record above Debug reports that there is no connection
}

const firstReminder = time.Minute // first interval between the records of an outage; it doubles

// failed counts a failure and returns its level.
func (o *outage) failed(c *connection, d retry.Decision, now time.Time) slog.Level {
	fresh := o.since.IsZero() || d.Attempt == 0 && (c.progress.events > 0 || errors.Is(c.err, io.EOF))
	if fresh {
		*o = outage{since: now, down: o.down}
		o.pace.start(now, firstReminder)
	}
	o.failures++
	if fresh && c.opened && d.Attempt == 0 && (d.Class == retry.ClassNetwork || d.Class == retry.ClassServer) {
		return slog.LevelInfo // routine, unless the next attempt fails
	}
	first := !o.seen[d.Class]
	o.seen[d.Class] = true
	due, lasted := o.pace.next(now) || first, now.Sub(o.since)
	if d.Attempt == 0 { // it has worked in between
		lasted = 0
	}
	return loudness(due, lasted)
}

// loudAfter is how long trouble must last before its records are errors.
const loudAfter = 15 * time.Minute

// loudness returns the level of a record about trouble that has lasted for a while. due reports whether
// a record is due.
func loudness(due bool, lasted time.Duration) slog.Level {
	switch {
	case !due:
		return slog.LevelDebug
	case lasted >= loudAfter:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// deliberate are the errors that the subscription itself ends a connection with, in short.
var deliberate = map[error]string{
	errRedial: "Reconnect", errParked: "slow consumer", errReplaced: "handover", errResumed: "new position by Backfill",
}

// isDeliberate reports whether the subscription itself has ended the connection with err.
func isDeliberate(err error) bool {
	return err == errRedial || err == errParked || err == errReplaced || err == errResumed
}

// isReplaced reports whether the transport has ended the connection to replace it. The server may have
// had more to send.
func isReplaced(err error) bool {
	var replaced interface{ Replaced() bool }
	return errors.As(err, &replaced) && replaced.Replaced()
}

// outcome describes how the connection has ended.
func (c *connection) outcome() string {
	if c.opened {
		return "disconnected"
	}
	return "connect failed"
}

// logDisconnected logs a connection that has ended, or an attempt that has failed.
func (l *loop) logDisconnected(c *connection, d retry.Decision) {
	o, now := &l.outage, time.Now()
	if isDeliberate(c.err) {
		o.down = true
		l.report.log.Info("reconnecting", "reason", deliberate[c.err])
		return
	}
	level := o.failed(c, d, now)
	o.down = o.down || level > slog.LevelDebug
	l.report.log.Log(context.Background(), level, c.outcome(), "error", c.err, "class", d.Class.String(),
		"attempt", d.Attempt, "failures", o.failures, "outage", now.Sub(o.since), "delay", d.Delay)
}

// logConnected logs a connection that is open.
func (l *loop) logConnected(c *connection) {
	o := &l.outage
	level := slog.LevelDebug
	if o.down || !l.isReady {
		level = slog.LevelInfo
	}
	o.down = false
	args := []any{"attempt", c.attempt, "resuming", c.resuming}
	if !o.since.IsZero() {
		args = append(args, "failures", o.failures, "outage", time.Since(o.since))
	}
	l.report.log.Log(context.Background(), level, "connected", args...)
}

// growing paces the records about a lasting condition: each interval is twice the previous one, up
// to an hour.
type growing struct {
	due  time.Time
	step time.Duration
}

func (g *growing) start(now time.Time, first time.Duration) {
	g.step, g.due = first, now.Add(first)
}

// next reports whether a record is due, and then sets the time of the next one.
func (g *growing) next(now time.Time) bool {
	if now.Before(g.due) {
		return false
	}
	g.start(now, min(2*g.step, time.Hour))
	return true
}

// A quota limits records that each event may cause: ten, and then one after 1, 2, 4 minutes and so on,
// at least one an hour, until there was none for an hour. It may be used by several goroutines at once.
type quota struct {
	mu      sync.Mutex // held for a few instructions
	spent   int
	skipped int // since the last record
	last    time.Time
	pace    growing
}

const quotaBurst = 10

// take returns the level of a record that would have level, and how many were Debug before it.
func (q *quota) take(level slog.Level, now time.Time) (_ slog.Level, skipped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.last) >= time.Hour {
		q.spent = 0
	}
	q.last = now
	if q.spent++; q.spent == quotaBurst {
		q.pace.start(now, firstReminder)
	}
	if q.spent > quotaBurst && !q.pace.next(now) {
		q.skipped++
		return slog.LevelDebug, 0
	}
	skipped, q.skipped = q.skipped, 0
	return level, skipped
}

// logLimited writes a record within a quota. Its attribute skipped is the number of records since the
// last one that were Debug.
func (r *reporter) logLimited(q *quota, level slog.Level, text string, args []any) {
	level, skipped := q.take(level, time.Now())
	if skipped > 0 {
		args = append(args, "skipped", skipped)
	}
	r.log.Log(context.Background(), level, text, args...)
}
