package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Options configures a recording. A nil *Options means the defaults.
type Options struct {
	// TokenOf returns the position after an event, like TokenOf in client.Options, for feeds that
	// carry it in their payload. Without it, the recording of such a feed has no positions. A
	// Receiver never has any. Default: the message's Token.
	TokenOf func(transport.Message) string

	// Redact returns what to write of a message. It may modify the message's data, which is a
	// copy. If ID and Token are equal, it is enough to change the ID. It is called before the
	// message is delivered. Default: messages are written as they are.
	Redact func(transport.Message) transport.Message
}

// A recording is what a Transport or a Receiver has written.
type recording struct {
	out  io.Writer
	opts Options

	mu     sync.Mutex    // guards locked only: a Write to out may block
	locked chan struct{} // holds one element while the fields below are in use

	conns  int
	last   time.Time // when the last entry happened; zero before the first
	tokens []position
	err    error // of out
}

// A track is a connection of a recording, which guards it.
type track struct {
	n    int  // its number
	over bool // its end is written
}

// A position is a token and how it was written.
type position struct{ token, shown string }

// positions is how many positions a recording remembers. A consumer resumes from one of the last.
const positions = 256

func newRecording(out io.Writer, o *Options) *recording {
	r := &recording{out: out}
	if o != nil {
		r.opts = *o
	}
	return r
}

// A described is the entry of a message, and the position after it.
type described struct {
	entry *entry
	after position
}

// describe returns what to write of a message.
func (r *recording) describe(m transport.Message) described {
	if r.opts.TokenOf != nil && m.Kind == decode.KindData {
		m.Token = r.opts.TokenOf(m)
	}
	token, same := m.Token, m.Token == m.ID
	if r.opts.Redact != nil {
		m.Data = bytes.Clone(m.Data)
		m = r.opts.Redact(m)
		if same && m.Token == token {
			m.Token = m.ID // the token must not show what Redact hides
		}
	}
	return described{describe(m), position{token, m.Token}}
}

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
func (r *recording) opened(ctx context.Context, token string, err error) (n int, failed error) {
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
	failed = r.write(e)
	if closed := closing(err); closed != nil {
		closed.conn = r.conns
		failed = r.write(closed)
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

// shown returns how token was written, or "?".
func (r *recording) shown(token string) string {
	for _, p := range slices.Backward(r.tokens) {
		if p.token == token {
			return p.shown
		}
	}
	return "?"
}

// write adds an entry. The caller holds the lock.
func (r *recording) write(e *entry) error {
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
	if _, err := r.out.Write(e.append(b)); err != nil {
		r.err = &recordError{err}
	}
	return r.err
}

// message writes the entry of a message.
func (r *recording) message(t *track, d described) error {
	r.lock()
	defer r.unlock()
	if d.after.token != "" {
		r.tokens = append(r.tokens, d.after)
		r.tokens = r.tokens[max(0, len(r.tokens)-positions):]
	}
	if t.over {
		return nil // Close came first
	}
	d.entry.conn = t.n
	return r.write(d.entry)
}

// failed returns the error of out, if a Write has failed.
func (r *recording) failed() error {
	r.lock()
	defer r.unlock()
	return r.err
}

// end writes how a connection ended. Only the first call for a connection counts.
func (r *recording) end(t *track, e *entry) {
	r.lock()
	defer r.unlock()
	if !t.over {
		t.over, e.conn = true, t.n
		r.write(e)
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
