package transport

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/coder/websocket"
)

// pings is how many are sent before a connection ends: a busy server may lose one.
const pings = 2

// atOnce is the minimum of a timer: under the race detector, Go 1.26 may crash on a timer in a
// synctest bubble that is due when it starts.
const atOnce = time.Nanosecond

// after calls f after d on a goroutine that Close waits for, unless the connection has been
// closed. f must not wait for Close.
func (c *socketConn) after(d time.Duration, f func()) *time.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	var t *time.Timer
	c.running.Add(1)
	t = time.AfterFunc(max(d, atOnce), func() {
		defer c.running.Done()
		c.mu.Lock()
		_, valid := c.timers[t]
		delete(c.timers, t)
		c.mu.Unlock()
		if valid {
			f()
		}
	})
	c.timers[t] = struct{}{}
	return t
}

// spawn calls f on a goroutine that Close waits for, unless the connection is closed.
func (c *socketConn) spawn(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.running.Go(f)
	}
}

// watchdog is after for an f that may end the connection. After a pause of the process it calls
// f a moment later, once what arrived meanwhile has been read.
func (c *socketConn) watchdog(d time.Duration, f func()) *time.Timer {
	due := c.wire.now() + int64(d)
	return c.after(d, func() {
		if overslept(time.Duration(c.wire.now() - due)) {
			c.watchdog(secondLook, f)
			return
		}
		f()
	})
}

// stopTimers stops all timers and lets no other start.
func (c *socketConn) stopTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for t := range c.timers {
		c.stop(t)
	}
}

// stop stops t, which may be nil. mu is held.
func (c *socketConn) stop(t *time.Timer) {
	if _, armed := c.timers[t]; armed && t.Stop() {
		c.running.Done()
	}
	delete(c.timers, t)
}

// keepAlive starts the timers that watch the connection.
func (c *socketConn) keepAlive() {
	if interval := orDefault(c.feed.PingInterval, defaultPing); interval > 0 {
		c.after(interval, func() { c.probe(interval) })
	}
	c.idle.Store(int64(max(c.feed.IdleTimeout, 0)))
	c.armIdle()
	if c.feed.MaxConnectionAge > 0 {
		c.after(c.feed.MaxConnectionAge-rand.N(c.feed.MaxConnectionAge/50+1), c.expire)
	}
}

// probe pings when nothing has arrived for interval, and aborts if the peer does not react.
func (c *socketConn) probe(interval time.Duration) {
	quiet, _ := c.wire.silence()
	if quiet >= interval {
		if !c.ping() {
			return
		}
		quiet = 0
	}
	c.after(interval-quiet, func() { c.probe(interval) })
}

func (c *socketConn) ping() bool {
	limit := orDefault(c.feed.PongTimeout, defaultPong)
	last := c.wire.at.Load()
	for range pings {
		c.limiter.count()
		timedOut, err := c.pong(limit)
		switch {
		case err == nil, c.wire.at.Load() != last:
			return true // any byte is life
		case !timedOut, c.ctx.Err() != nil:
			return false // the connection has ended
		}
	}
	c.abort(&TimeoutError{Op: "pong", After: pings * limit})
	return false
}

// pong sends a ping and waits up to limit for the pong. The wait does not end while the ping is
// being written: the library would close the connection and lose what is received but unread.
// watchWrites ends a write that takes too long.
func (c *socketConn) pong(limit time.Duration) (timedOut bool, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var expire func()
	expire = func() {
		if c.wire.writing.Load() == idleWriter {
			cancel()
		} else {
			c.watchdog(limit, expire)
		}
	}
	timer := c.watchdog(limit, expire)
	err = c.ws.Ping(ctx)
	c.mu.Lock()
	c.stop(timer)
	c.mu.Unlock()
	return ctx.Err() != nil, err
}

// armIdle aborts when no message arrives for idle, if that is set.
func (c *socketConn) armIdle() {
	c.mu.Lock()
	if c.idleTimer != nil {
		c.stop(c.idleTimer)
	}
	c.mu.Unlock()
	limit := time.Duration(c.idle.Load())
	if limit <= 0 {
		return
	}
	_, quiet := c.wire.silence()
	if quiet >= limit {
		c.abort(&TimeoutError{Op: "message", After: limit})
		return
	}
	wait := limit - quiet
	if !c.wire.waiting.Load() {
		wait = max(wait, limit/10) // time between Reads does not count: do not check too often
	}
	t := c.watchdog(wait, c.armIdle)
	c.mu.Lock()
	c.idleTimer = t
	c.mu.Unlock()
}

// expire is called when the connection must be replaced. If its reader cannot open the next one
// first, the connection ends once everything received has been read; the server's answer to the
// close wakes a waiting reader.
func (c *socketConn) expire() {
	c.mu.Lock()
	again := c.expired
	c.expired = true
	replace := c.replace
	c.mu.Unlock()
	switch {
	case again:
	case !c.feed.Overlap:
		c.fail(io.EOF)
		c.ending.Store(true)
		c.leave()
	case replace != nil:
		replace()
	}
}

// leave wakes a reader that waits for data. If the reader is busy, for example answering a
// ping, leave tries again later.
func (c *socketConn) leave() {
	switch {
	case !c.wire.waiting.Load():
		c.after(time.Second, c.leave)
	case c.feed.closeCode() < 0:
		c.cut(io.EOF)
	default:
		c.spawn(func() { c.ws.Close(websocket.StatusCode(c.feed.closeCode()), "") })
	}
}
