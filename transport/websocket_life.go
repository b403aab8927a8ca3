package transport

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// pings is how many are sent before a connection ends: a busy server may lose one.
const pings = 2

// writeTimeout is how long the peer may accept no data. The library allows five seconds for a
// pong, including its wait for other writers.
const writeTimeout = 4 * time.Second

// A socketLife watches the peer of a connection by timers: pings, silence, heartbeats, pending
// writes, and the age of the connection.
type socketLife struct {
	conn    *socketConn
	timers  timers
	idle    atomic.Int64 // IdleTimeout, or as set by SetIdleTimeout
	leaving atomic.Bool  // to be replaced without Overlap
	expires announcement

	mu        sync.Mutex
	idleTimer *deadline
	beat      *heartbeat
}

// start starts the timers.
func (l *socketLife) start() {
	c := l.conn
	l.timers = timers{now: c.wire.clock, pending: make(map[*deadline]struct{})}
	c.wire.guard = func() { l.timers.after(writeTimeout, l.watchWrites) }
	if interval := orDefault(c.feed.PingInterval, defaultPing); interval > 0 {
		l.timers.after(interval, func() { l.probe(interval) })
	}
	l.idle.Store(int64(max(c.feed.IdleTimeout, 0)))
	l.armIdle()
	if c.feed.MaxConnectionAge > 0 {
		l.timers.after(withinAge(c.feed.MaxConnectionAge), l.expire)
	}
}

// probe pings when nothing has arrived for interval, and aborts if the peer does not react.
func (l *socketLife) probe(interval time.Duration) {
	quiet, _ := l.conn.wire.silence()
	if quiet >= interval {
		if !l.ping() {
			return
		}
		quiet = 0
	}
	l.timers.after(interval-quiet, func() { l.probe(interval) })
}

func (l *socketLife) ping() bool {
	limit := orDefault(l.conn.feed.PongTimeout, defaultPong)
	last := l.conn.wire.at.Load()
	for range pings {
		l.conn.limiter.count()
		timedOut, err := l.pong(limit)
		switch {
		case err == nil, l.conn.wire.at.Load() != last:
			return true // any byte shows that the peer is alive
		case !timedOut, l.conn.end.ctx.Err() != nil:
			return false // the connection has ended
		}
	}
	l.conn.end.abort(&TimeoutError{Origin: l.conn.origin, Op: "pong", After: pings * limit})
	return false
}

// pong sends a ping and waits up to limit for the pong. The wait does not end while the ping is
// being written: the library would close the connection and lose what is received but unread.
// watchWrites ends a write that takes too long.
func (l *socketLife) pong(limit time.Duration) (timedOut bool, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var expire func()
	expire = func() {
		if l.conn.wire.writing.Load() == idleWriter {
			cancel()
		} else {
			l.timers.after(limit, expire)
		}
	}
	timer := l.timers.after(limit, expire)
	err = l.conn.ws.Ping(ctx)
	l.timers.stop(timer)
	return ctx.Err() != nil, err
}

// armIdle aborts when no message arrives for idle, if that is set.
func (l *socketLife) armIdle() {
	l.mu.Lock()
	l.timers.stop(l.idleTimer)
	l.mu.Unlock()
	limit := time.Duration(l.idle.Load())
	if limit <= 0 {
		return
	}
	_, quiet := l.conn.wire.silence()
	if quiet >= limit {
		l.conn.end.abort(&TimeoutError{Origin: l.conn.origin, Op: "message", After: limit})
		return
	}
	wait := limit - quiet
	if !l.conn.wire.waiting.Load() {
		wait = max(wait, limit/10) // time between Reads does not count: do not check too often
	}
	t := l.timers.after(wait, l.armIdle)
	l.mu.Lock()
	l.idleTimer = t
	l.mu.Unlock()
}

// expire is called when the connection must be replaced. If its reader cannot open the next one
// first, the connection ends once everything received has been read; the server's answer to the
// close wakes a waiting reader.
func (l *socketLife) expire() {
	if l.expires.make() && !l.conn.feed.Overlap {
		l.conn.end.fail(errReplaced)
		l.leaving.Store(true)
		l.leave()
	}
}

// leave wakes a reader that waits for data. If the reader is busy, for example answering a
// ping, leave tries again later.
func (l *socketLife) leave() {
	switch {
	case !l.conn.wire.waiting.Load():
		l.timers.after(time.Second, l.leave)
	case l.conn.feed.closeCode() < 0:
		l.conn.end.cut(io.EOF)
	default:
		l.timers.spawn(func() { l.conn.sendClose(l.conn.feed.closeCode()) })
	}
}

// A heartbeat is a Heartbeat that has been started.
type heartbeat struct {
	Heartbeat
	unacked bool  // the last one has not been acknowledged
	at      int64 // when it was sent, by the wire's clock
}

func (l *socketLife) startHeartbeat(b *heartbeat) {
	if b.Interval <= 0 || b.Message == nil {
		b = nil
	}
	l.mu.Lock()
	l.beat = b
	l.mu.Unlock()
	if b != nil {
		l.timers.after(rand.N(b.Interval)+1, func() { l.sendHeartbeat(b) })
	}
}

// sendHeartbeat sends b's message. It stops if another heartbeat has replaced b, and aborts if the
// last one is not acknowledged although everything received since has been read.
func (l *socketLife) sendHeartbeat(b *heartbeat) {
	l.mu.Lock()
	current, dead := l.beat == b, b.unacked && l.conn.wire.caughtUpSince(b.at)
	b.unacked = false
	l.mu.Unlock()
	switch {
	case !current:
		return
	case dead:
		l.conn.end.abort(&TimeoutError{Origin: l.conn.origin, Op: "heartbeat", After: b.Interval})
		return
	}
	if text := b.Message(); text != nil && l.conn.limiter.wait(l.conn.end.ctx, l.conn.end.ctx, true) == nil {
		l.mu.Lock()
		b.unacked, b.at = b.RequireAck, l.conn.wire.now() // not earlier: the wait for SendRate is not the server's
		l.mu.Unlock()
		l.conn.write(websocket.MessageText, text)
	}
	l.timers.after(b.Interval, func() { l.sendHeartbeat(b) })
}

func (l *socketLife) heartbeatAcked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.beat != nil {
		l.beat.unacked = false
	}
}

// watchWrites aborts if the peer has accepted no data for writeTimeout while a write is
// pending. It watches messages, pings and pongs alike: the library would end the connection at
// once for a pong that it cannot send.
func (l *socketLife) watchWrites() {
	w := l.conn.wire
	if broken := w.unwritable.Load(); broken != nil {
		l.readOut(w.now(), *broken)
		return
	}
	since := w.writing.Load()
	if since == idleWriter {
		w.guarded.Store(false)
		if since = w.writing.Load(); since == idleWriter || w.guarded.Swap(true) {
			return
		}
	}
	idle := time.Duration(w.now() - since)
	if idle >= writeTimeout {
		l.conn.end.abort(&TimeoutError{Origin: l.conn.origin, Op: "write", After: writeTimeout})
		return
	}
	l.timers.after(writeTimeout-idle, l.watchWrites)
}

// readOut ends a connection whose writes fail once everything the server has sent is read,
// unless the network ends it first.
func (l *socketLife) readOut(since int64, broken error) {
	if l.conn.wire.caughtUpSince(since) {
		l.conn.end.abort(&CloseError{Code: closeAbnormal, Origin: l.conn.origin, err: broken})
		return
	}
	l.timers.after(writeTimeout, func() { l.readOut(since, broken) })
}
