package record

import (
	"bytes"
	"cmp"
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

// A Recorder is a transport.Transport that records what another one delivers, for [Replay]. Use
// it as *Recorder, and do not change its fields once it is in use. It starts no goroutine.
//
//	sub, err := client.Subscribe(ctx, &record.Recorder{Transport: feed, Out: file}, nil)
//
// The recording is text that can be read, compared and edited:
//
//	steadfeed recording 1
//	1 0s open
//	1 120ms event id=7 type=update
//		{"fruit":"apple"}
//	1 2.4s cut
//	2 1.03s status code=503 retry-after=30 after=7
//
// Each entry has the number of a connection, the time since the entry before it, in whole
// milliseconds, and what happened then. It is written immediately, by one call of Out.Write.
//
// # Security
//
// A recording contains no headers except Retry-After, no URLs, no error texts, and no token
// from which a connection resumed, unless the recording already shows it. Payloads, ids and
// types of events are recorded as they are, unless Redact changes them.
type Recorder struct {
	// Transport is the Transport to record. Required.
	Transport transport.Transport

	// Out receives the recording. Once a Write fails, so does every Open and Read, with an
	// error whose Retryable method returns false, so that a partial recording is not taken for
	// a complete one. Required.
	Out io.Writer

	// Token returns the position after an event, which becomes the id in the recording, like
	// Token in client.Options for feeds that carry it in their payload. Default: the message's
	// ID.
	Token func(transport.Message) string

	// Redact returns what to write of a message. It may modify the message's data, which is a
	// copy. It is called from Read. Default: messages are written as they are.
	Redact func(transport.Message) transport.Message

	mu   sync.Mutex    // guards turn only: Out may block
	turn chan struct{} // holds one element while the fields below are in use

	conns  int
	begun  bool
	last   time.Time // when the last entry happened
	tokens []position
	err    error // of Out
}

// enter waits for the caller's turn, which leave ends. A mutex held across a Write would
// stop the clock of a synctest bubble.
func (r *Recorder) enter() {
	r.mu.Lock()
	if r.turn == nil {
		r.turn = make(chan struct{}, 1)
	}
	turn := r.turn
	r.mu.Unlock()
	turn <- struct{}{}
}

func (r *Recorder) leave() { <-r.turn }

// A position is a token and the id under which it was written.
type position struct{ token, id string }

// positions is how many positions a Recorder remembers. A consumer resumes from one of the
// last.
const positions = 256

// Validate reports every problem of the Recorder and of its Transport.
func (r *Recorder) Validate() error {
	var problems []error
	if r.Transport == nil || r.Out == nil {
		problems = append(problems, &recordError{errors.New("Recorder.Transport and Recorder.Out: must be set")})
	}
	if r.Transport != nil {
		problems = append(problems, r.Transport.Validate())
	}
	return errors.Join(problems...)
}

// Positionless returns what the Transport reports. See transport.Positionless.
func (r *Recorder) Positionless() bool {
	p, ok := r.Transport.(transport.Positionless)
	return ok && p.Positionless()
}

// Open connects the Transport. It implements transport.Transport.
func (r *Recorder) Open(ctx context.Context, token string) (*transport.Session, error) {
	if r.Transport == nil || r.Out == nil {
		return nil, r.Validate()
	}
	inner, err := r.Transport.Open(ctx, token)
	n, failed := r.opened(ctx, token, err)
	switch {
	case err == nil && failed == nil:
		s := *inner
		s.Conn = &recorded{Conn: inner.Conn, recorder: r, ctx: ctx, n: n}
		return &s, nil
	case err == nil:
		inner.Close()
		return nil, failed
	}
	return nil, err
}

// opened writes the outcome of an attempt.
func (r *Recorder) opened(ctx context.Context, token string, err error) (n int, failed error) {
	r.enter()
	defer r.leave()
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
	case errors.Is(err, transport.ErrEnd):
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
func (r *Recorder) shown(token string) string {
	for _, p := range slices.Backward(r.tokens) {
		if p.token == token {
			return p.id
		}
	}
	return "?"
}

// write adds an entry. The caller has the turn.
func (r *Recorder) write(e *entry) error {
	if r.err != nil {
		return r.err
	}
	now := time.Now()
	var b []byte
	if !r.begun {
		r.begun, r.last = true, now
		b = append(b, recordingHeader+"\n"...)
	}
	// The next entry makes up for the truncation.
	e.delay = now.Sub(r.last).Truncate(time.Millisecond)
	r.last = r.last.Add(e.delay)
	if _, err := r.Out.Write(e.append(b)); err != nil {
		r.err = &recordError{err}
	}
	return r.err
}

// message writes what Read returned.
func (r *Recorder) message(c *recorded, m transport.Message) error {
	m.ID = cmp.Or(m.Token, m.ID)
	if r.Token != nil && m.Kind == decode.KindData {
		m.ID = r.Token(m)
	}
	token := m.ID
	if r.Redact != nil {
		m.Data = bytes.Clone(m.Data)
		m = r.Redact(m)
	}
	r.enter()
	defer r.leave()
	if token != "" {
		r.tokens = append(r.tokens, position{token, m.ID})
		r.tokens = r.tokens[max(0, len(r.tokens)-positions):]
	}
	if c.over {
		return nil // Close came first
	}
	e := describe(m)
	e.conn = c.n
	return r.write(e)
}

// end writes how a connection ended. Only the first call for a connection counts.
func (r *Recorder) end(c *recorded, e *entry) {
	r.enter()
	defer r.leave()
	if !c.over {
		c.over, e.conn = true, c.n
		r.write(e)
	}
}

// A recorded is a connection that is being recorded.
type recorded struct {
	transport.Conn
	recorder *Recorder
	ctx      context.Context
	n        int
	err      error // of the recording
	over     bool  // guarded by the recorder's turn
}

func (c *recorded) Read(m *transport.Message) error {
	if c.err != nil {
		return c.err
	}
	if err := c.Conn.Read(m); err != nil {
		c.recorder.end(c, c.ending(err))
		return err
	}
	if c.err = c.recorder.message(c, *m); c.err != nil && m.Settle != nil {
		m.Settle(c.err)
	}
	return c.err
}

// ending returns the entry for the end of a connection.
func (c *recorded) ending(err error) *entry {
	var silence interface{ Timeout() bool }
	switch closed := closing(err); {
	case c.ctx.Err() != nil:
		return &entry{verb: verbClosed}
	case errors.Is(err, transport.ErrEnd):
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

func (c *recorded) Close() error {
	c.recorder.end(c, &entry{verb: verbClosed}) // before the close makes Read fail
	return c.Conn.Close()
}

// Lingers implements transport.Lingerer.
func (c *recorded) Lingers() bool {
	l, ok := c.Conn.(transport.Lingerer)
	return ok && l.Lingers()
}

// A recordError reports that the recording cannot continue.
type recordError struct{ err error }

func (e *recordError) Error() string   { return fmt.Sprintf("record: %v", e.err) }
func (e *recordError) Unwrap() error   { return e.err }
func (e *recordError) Retryable() bool { return false }
