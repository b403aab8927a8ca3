package client

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// dialing reports that an attempt begins.
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
	c.log.connected(c.attempt, c.resuming)
	if f := c.opts.Trace.Connected; f != nil {
		f(Attempt{Number: c.attempt, Resuming: c.resuming, Took: c.took})
	}
	if c.hasConnected && !c.resuming && !c.follows && c.gap == nil {
		c.lose(Gap{Reason: transport.NoToken})
	}
	c.hasConnected = true
}

// disconnected reports that there is no connection any more, and what follows.
func (r *run) disconnected(c *connection, d retry.Decision) {
	err := c.err
	if r.ctx.Err() == nil && !d.Stop {
		r.log.disconnected(err, d)
	}
	if f := r.opts.Trace.Disconnected; f != nil {
		f(Disconnect{Err: err, Opened: c.opened, Events: c.events, Uptime: c.uptime,
			Class: d.Class, Delay: d.Delay, Final: d.Stop})
	}
}

// stateLog writes one record for each change of state, not one for each retry.
type stateLog struct {
	*slog.Logger

	mu      sync.Mutex // held for a flag only
	down    bool
	unsaved bool
}

// turn sets a flag and reports whether it had the other value.
func (l *stateLog) turn(flag *bool, to bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := *flag != to
	*flag = to
	return changed
}

func (l *stateLog) connected(attempt int, resuming bool) {
	l.turn(&l.down, false)
	l.Info("connected", "attempt", attempt, "resuming", resuming)
}

func (l *stateLog) disconnected(err error, d retry.Decision) {
	level := slog.LevelDebug
	if l.turn(&l.down, true) {
		level = slog.LevelWarn
	}
	l.Log(context.Background(), level, "disconnected", "error", err, "class", d.Class.String(), "attempt", d.Attempt, "delay", d.Delay)
}

func (l *stateLog) gap(g Gap) {
	l.Warn("events may be missing", "reason", string(g.Reason), "missed", g.Missed)
}

func (l *stateLog) saved(err error) {
	switch changed := l.turn(&l.unsaved, err != nil); {
	case changed && err != nil:
		l.Warn("checkpoint not saved", "error", err)
	case changed:
		l.Info("checkpoint saved again")
	}
}

func (l *stateLog) ended(err error) {
	if err == nil || errors.Is(err, ErrClosed) {
		l.Info("ended")
		return
	}
	l.Error("ended", "error", err)
}
