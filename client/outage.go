package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// An outage decides the level at which failures are logged that follow each other until a
// connection brings an event. One that is quiet and is cut every minute is one outage, not
// a new one every minute.
type outage struct {
	since    time.Time // when the first of them was; zero before any
	failures int
	seen     [retry.Permanent + 1]bool // classes
	pace     growing
	down     bool // the last record above Debug says that there is no connection
}

const firstReminder = time.Minute // between the records of an outage; it doubles

// failed returns the level of a failure.
func (o *outage) failed(c *connection, d retry.Decision, now time.Time) slog.Level {
	fresh := o.since.IsZero() || d.Attempt == 0 && (c.events > 0 || errors.Is(c.err, io.EOF))
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

// isDeliberate reports whether the subscription itself has ended a connection with err.
func isDeliberate(err error) bool {
	return err == errRedial || err == errParked || err == errReplaced
}

// logDisconnected logs a connection that has ended, or an attempt that has failed.
func (r *run) logDisconnected(c *connection, d retry.Decision) {
	o, now := &r.outage, time.Now()
	if isDeliberate(c.err) {
		o.down = true
		r.log.Info("disconnected", "reason", c.err)
		return
	}
	level := o.failed(c, d, now)
	o.down = o.down || level > slog.LevelDebug
	text := "connect failed"
	if c.opened {
		text = "disconnected"
	}
	r.log.Log(context.Background(), level, text, "error", c.err, "class", d.Class.String(),
		"attempt", d.Attempt, "failures", o.failures, "outage", now.Sub(o.since), "delay", d.Delay)
}

// logConnected logs a connection that is open.
func (r *run) logConnected(c *connection) {
	o := &r.outage
	level := slog.LevelDebug
	if o.down || !r.isReady {
		level = slog.LevelInfo
	}
	o.down = false
	args := []any{"attempt", c.attempt, "resuming", c.resuming}
	if !o.since.IsZero() {
		args = append(args, "failures", o.failures, "outage", time.Since(o.since))
	}
	r.log.Log(context.Background(), level, "connected", args...)
}

// growing paces the records on something that lasts: each interval is twice the one
// before, up to an hour.
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
