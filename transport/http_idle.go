package transport

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

const (
	defaultIdle   = 90 * time.Second // until the heartbeat is known
	minIdle       = 20 * time.Second
	idlePerBeat   = 3
	minBeats      = 2
	greeting      = minIdle     // earlier keepalives may be greetings, not heartbeats
	shortestBeat  = time.Second // a shorter silence is no heartbeat
	longestDetour = time.Second // after a longer absence, the reader does not know when bytes arrived
)

// errIdle is the cause when the watchdog ends a connection.
var errIdle = errors.New("transport: no data within the idle limit")

// A watch reads a body and calls fire when a Read takes longer than the window. Any byte
// restarts it. The limit runs only during a Read.
//
// A decoder may read ahead on its own goroutine, so Read and learn share only the window and
// the silence.
type watch struct {
	body   io.Reader
	window atomic.Int64 // a time.Duration; zero: no limit
	silent deadline
	learns bool // the window follows the feed's heartbeat

	endless atomic.Bool // a Read without a limit is running

	start   time.Time
	last    time.Time     // when bytes last arrived
	silence atomic.Int64  // a time.Duration that ended since the last frame; zero if unknown
	beats   int           // keepalives that ended a silence
	longest time.Duration // of these silences
}

func newWatch(body io.Reader, idle time.Duration, fire func()) *watch {
	w := &watch{body: body, learns: idle == 0, silent: deadline{fire: fire}}
	w.start = time.Now()
	w.last = w.start
	w.window.Store(int64(orDefault(idle, defaultIdle)))
	return w
}

func (w *watch) Read(p []byte) (int, error) {
	window := time.Duration(w.window.Load())
	if window == 0 {
		w.endless.Store(true)
		defer w.endless.Store(false)
		return w.body.Read(p)
	}
	start := time.Now()
	w.silent.start(start, window)
	n, err := w.body.Read(p)
	w.silent.stop()
	if n > 0 {
		now := time.Now()
		if start.Sub(w.last) <= longestDetour && now.Sub(w.start) >= greeting {
			w.silence.Store(max(w.silence.Load(), int64(now.Sub(w.last))))
		}
		w.last = now
	}
	return n, err
}

// isReading reports whether a Read is running.
func (w *watch) isReading() bool { return w.endless.Load() || w.silent.isRunning() }

// learn takes the silence before a frame into account. The frame is the one whose first bytes
// arrived last.
func (w *watch) learn(k decode.Kind) {
	silence := time.Duration(w.silence.Load())
	if silence == 0 {
		return
	}
	w.silence.Store(0)
	if !w.learns || silence <= shortestBeat || k != decode.KindKeepalive && k != decode.KindComment {
		return
	}
	w.beats++
	w.longest = max(w.longest, silence)
	if w.beats >= minBeats {
		w.window.Store(int64(max(minIdle, idlePerBeat*w.longest)))
	}
}
