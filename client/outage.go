package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
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
	first := !o.seen[d.Class]
	o.seen[d.Class] = true
	switch {
	case fresh && c.opened && errors.Is(c.err, io.EOF) && d.Attempt == 0:
		return slog.LevelInfo // routine
	case first, o.pace.next(now):
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// isDeliberate reports whether err is one that the subscription itself ends a connection with.
func isDeliberate(err error) bool {
	return err == errRedial || err == errParked || err == errReplaced || err == errResumed
}

// logDisconnected logs a connection that has ended, or an attempt that has failed.
func (l *loop) logDisconnected(c *connection, d retry.Decision) {
	o, now := &l.outage, time.Now()
	if isDeliberate(c.err) {
		o.down = true
		l.report.log.Info("disconnected", "reason", c.err)
		return
	}
	level := o.failed(c, d, now)
	o.down = o.down || level > slog.LevelDebug
	text := "connect failed"
	if c.opened {
		text = "disconnected"
	}
	l.report.log.Log(context.Background(), level, text, "error", c.err, "class", d.Class.String(),
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
