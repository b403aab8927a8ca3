package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A recording is what a Transport or a Receiver has written.
type recording struct {
	mu     sync.Mutex    // guards locked only: Out may block
	locked chan struct{} // holds one element while the fields below are in use

	conns  int
	last   time.Time // when the last entry happened; zero before the first
	tokens []position
	err    error // of Out
}

// A track is a connection of a recording, which guards it.
type track struct {
	n    int  // its number
	over bool // its end is written
}

// A position is a token and the id under which it was written.
type position struct{ token, id string }

// positions is how many positions a recording remembers. A consumer resumes from one of the last.
const positions = 256

// lock guards the fields that change. A mutex held across a Write would stop the clock of a
// synctest bubble.
func (r *recording) lock() {
	r.mu.Lock()
	if r.locked == nil {
		r.locked = make(chan struct{}, 1)
	}
	locked := r.locked
	r.mu.Unlock()
	locked <- struct{}{}
}

func (r *recording) unlock() { <-r.locked }

// opened writes the outcome of an attempt.
func (r *recording) opened(ctx context.Context, out io.Writer, token string, err error) (n int, failed error) {
	r.lock()
	defer r.unlock()
	if ctx.Err() != nil && err != nil {
		return 0, nil // the caller canceled it: the feed did nothing
	}
	r.conns++
	e := refusal(err)
	e.conn = r.conns
	if token != "" && e.verb != verbEnd {
		e.set("after", r.shown(token))
	}
	failed = r.write(out, e)
	if closed := closing(err); closed != nil {
		closed.conn = r.conns
		failed = r.write(out, closed)
	}
	return r.conns, failed
}

// closing returns the entry for a WebSocket that the server closed with a code, nil for any
// other error.
func closing(err error) *entry {
	var closed *transport.CloseError
	if !errors.As(err, &closed) || !isCloseCode(closed.Code) {
		return nil
	}
	e := &entry{verb: verbClose}
	e.set("code", strconv.Itoa(closed.Code))
	return e
}

// isCloseCode reports whether a close frame may have the code (RFC 6455, section 7.4).
func isCloseCode(code int) bool {
	return code >= 1000 && code < 5000 && code != 1005 && code != 1006 && code != 1015
}

// refusal returns the entry for an attempt that ended with err.
func refusal(err error) *entry {
	var status *transport.StatusError
	var behaves interface{ Protocol() bool }
	switch {
	case err == nil, closing(err) != nil:
		return &entry{verb: verbOpen} // a close code needs an open connection
	case errors.Is(err, transport.ErrComplete):
		return &entry{verb: verbEnd}
	case errors.As(err, &status):
		e := &entry{verb: verbStatus}
		e.set("code", strconv.Itoa(status.Code))
		e.set("retry-after", status.Header.Get("Retry-After"))
		return e
	case errors.As(err, &behaves) && behaves.Protocol():
		return &entry{verb: verbProtocol}
	}
	return &entry{verb: verbRefused}
}

// shown returns the id under which token was written, or "?".
func (r *recording) shown(token string) string {
	for _, p := range slices.Backward(r.tokens) {
		if p.token == token {
			return p.id
		}
	}
	return "?"
}

// write adds an entry. The caller holds the lock.
func (r *recording) write(out io.Writer, e *entry) error {
	if r.err != nil {
		return r.err
	}
	now := time.Now()
	var b []byte
	if r.last.IsZero() {
		r.last = now
		b = append(b, recordingHeader+"\n"...)
	}
	// The next entry makes up for the truncation.
	e.delay = now.Sub(r.last).Truncate(time.Millisecond)
	r.last = r.last.Add(e.delay)
	if _, err := out.Write(e.append(b)); err != nil {
		r.err = &recordError{err}
	}
	return r.err
}

// message writes the entry of a message with a position.
func (r *recording) message(out io.Writer, t *track, p position, e *entry) error {
	r.lock()
	defer r.unlock()
	if p.token != "" {
		r.tokens = append(r.tokens, p)
		r.tokens = r.tokens[max(0, len(r.tokens)-positions):]
	}
	if t.over {
		return nil // Close came first
	}
	e.conn = t.n
	return r.write(out, e)
}

// failed returns the error of Out, if it has failed.
func (r *recording) failed() error {
	r.lock()
	defer r.unlock()
	return r.err
}

// end writes how a connection ended. Only the first call for a connection counts.
func (r *recording) end(out io.Writer, t *track, e *entry) {
	r.lock()
	defer r.unlock()
	if !t.over {
		t.over, e.conn = true, t.n
		r.write(out, e)
	}
}

// ending returns the entry for the end of a connection with the context ctx.
func ending(ctx context.Context, err error) *entry {
	var silence interface{ Timeout() bool }
	switch closed := closing(err); {
	case ctx.Err() != nil:
		return &entry{verb: verbClosed}
	case errors.Is(err, transport.ErrComplete):
		return &entry{verb: verbEnd}
	case errors.Is(err, io.EOF):
		return &entry{verb: verbEOF}
	case closed != nil:
		return closed
	case errors.As(err, &silence) && silence.Timeout():
		return &entry{verb: verbSilent}
	}
	return &entry{verb: verbCut}
}

// A recordError reports that the recording cannot continue.
type recordError struct{ err error }

func (e *recordError) Error() string   { return fmt.Sprintf("record: %v", e.err) }
func (e *recordError) Unwrap() error   { return e.err }
func (e *recordError) Retryable() bool { return false }
