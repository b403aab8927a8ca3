package client

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// dialing reports that an attempt starts.
func (c *connection) dialing() {
	c.stats.attempts.Add(1)
	if f := c.opts.Trace.Connecting; f != nil {
		f(Attempt{Number: c.attempt, Resuming: c.resuming})
	}
}

// live reports that the connection is open.
func (c *connection) live() {
	c.opened = true
	c.stats.set(StateLive)
	c.stats.connections.Add(1)
	c.logConnected(c)
	if f := c.opts.Trace.Connected; f != nil {
		f(Attempt{Number: c.attempt, Resuming: c.resuming, Took: c.took})
	}
	if c.hasConnected && !c.resuming && !c.follows && !c.pushed && c.gap == nil {
		c.lose(Gap{Reason: transport.NoToken})
	}
	c.hasConnected = true
	if !c.isReady {
		c.isReady = true
		close(c.connected)
	}
}

// disconnected reports that c has failed or ended, and what follows.
func (r *run) disconnected(c *connection, d retry.Decision) {
	if r.ctx.Err() == nil && !d.Stop {
		r.logDisconnected(c, d)
	}
	r.failure.Store(&c.err)
	r.traceDisconnected(c, d)
}

// notReplaced reports that an attempt to open a successor has failed. It runs concurrently with the
// run loop.
func (h *handover) notReplaced(c *connection, d retry.Decision) {
	level := slog.LevelDebug
	if d.Attempt == 1 {
		level = slog.LevelWarn
	}
	c.log.Log(context.Background(), level, "handover failed", "error", c.err, "class", d.Class.String(),
		"attempt", d.Attempt, "delay", d.Delay)
	c.traceDisconnected(c, d)
}

func (r *run) traceDisconnected(c *connection, d retry.Decision) {
	if f := r.opts.Trace.Disconnected; f != nil {
		f(Disconnect{Err: c.err, Opened: c.opened, Events: c.events, Uptime: c.uptime,
			Class: d.Class, Delay: d.Delay, Final: d.Stop})
	}
}

// stateLog is the log of a subscription. It decides which failed saves are logged.
type stateLog struct {
	*slog.Logger

	mu      sync.Mutex // guards unsaved; never held while logging
	unsaved trouble
}

// trouble counts failures in a row.
type trouble struct {
	since time.Time
	count int
	pace  growing
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

func (l *stateLog) gap(g Gap) {
	args := []any{"reason", string(g.Reason)}
	if g.Missed > 0 {
		args = append(args, "missed", g.Missed)
	}
	l.Warn("events may be missing", args...)
}

func (l *stateLog) saved(err error) {
	now := time.Now()
	l.mu.Lock()
	log := err != nil && l.unsaved.again(now) || err == nil && l.unsaved.count > 0
	t := l.unsaved
	if err == nil {
		l.unsaved = trouble{}
	}
	l.mu.Unlock()
	switch {
	case !log:
	case err != nil:
		l.Warn("checkpoint not saved", "error", err, "failures", t.count, "outage", now.Sub(t.since))
	default:
		l.Info("checkpoint saved again", "failures", t.count, "outage", now.Sub(t.since))
	}
}

// contested reports that Subscribe waits because the record keeps being taken over.
func (l *stateLog) contested(takeovers uint, owner string, atMost time.Duration) {
	l.Warn("checkpoint is contested: run one subscription of a name at a time, or give each a name of its own",
		"takeovers", takeovers, "owner", owner, "waiting_at_most", atMost)
}

// ended logs the end. An end that the program asked for is no error.
func (l *stateLog) ended(err error, asked bool) {
	switch {
	case err == nil:
		l.Info("ended")
	case asked:
		l.Info("ended", "reason", err)
	default:
		l.Error("ended", "error", err)
	}
}
