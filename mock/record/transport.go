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
// it as *Transport, and do not change its fields once it is in use. It starts no goroutine.
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
type Transport struct {
	// From is the transport to record. Required.
	From transport.Transport

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

	mu     sync.Mutex    // guards locked only: Out may block
	locked chan struct{} // holds one element while the fields below are in use

	conns  int
	last   time.Time // when the last entry happened; zero before the first
	tokens []position
	err    error // of Out
}

// lock guards the fields that change. A mutex held across a Write would stop the clock of a
// synctest bubble.
func (t *Transport) lock() {
	t.mu.Lock()
	if t.locked == nil {
		t.locked = make(chan struct{}, 1)
	}
	locked := t.locked
	t.mu.Unlock()
	locked <- struct{}{}
}

func (t *Transport) unlock() { <-t.locked }

// A position is a token and the id under which it was written.
type position struct{ token, id string }

// positions is how many positions a Transport remembers. A consumer resumes from one of the
// last.
const positions = 256

// Validate reports every problem of the Transport and of the one that it records.
func (t *Transport) Validate() error {
	var problems []error
	if t.From == nil || t.Out == nil {
		problems = append(problems, &recordError{errors.New("Transport.From and Transport.Out: must be set")})
	}
	if t.From != nil {
		problems = append(problems, t.From.Validate())
	}
	return errors.Join(problems...)
}

// Positionless returns what From reports. See transport.Positionless.
func (t *Transport) Positionless() bool {
	p, ok := t.From.(transport.Positionless)
	return ok && p.Positionless()
}

// Open connects From. It implements transport.Transport.
func (t *Transport) Open(ctx context.Context, token string) (*transport.Session, error) {
	if t.From == nil || t.Out == nil {
		return nil, t.Validate()
	}
	inner, err := t.From.Open(ctx, token)
	n, failed := t.opened(ctx, token, err)
	switch {
	case err == nil && failed == nil:
		s := *inner
		s.Conn = &recorded{Conn: inner.Conn, by: t, ctx: ctx, n: n}
		return &s, nil
	case err == nil:
		inner.Close()
		return nil, failed
	}
	return nil, err
}

// opened writes the outcome of an attempt.
func (t *Transport) opened(ctx context.Context, token string, err error) (n int, failed error) {
	t.lock()
	defer t.unlock()
	if ctx.Err() != nil && err != nil {
		return 0, nil // the caller canceled it: the feed did nothing
	}
	t.conns++
	e := refusal(err)
	e.conn = t.conns
	if token != "" && e.verb != verbEnd {
		e.set("after", t.shown(token))
	}
	failed = t.write(e)
	if closed := closing(err); closed != nil {
		closed.conn = t.conns
		failed = t.write(closed)
	}
	return t.conns, failed
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
func (t *Transport) shown(token string) string {
	for _, p := range slices.Backward(t.tokens) {
		if p.token == token {
			return p.id
		}
	}
	return "?"
}

// write adds an entry. The caller holds the lock.
func (t *Transport) write(e *entry) error {
	if t.err != nil {
		return t.err
	}
	now := time.Now()
	var b []byte
	if t.last.IsZero() {
		t.last = now
		b = append(b, recordingHeader+"\n"...)
	}
	// The next entry makes up for the truncation.
	e.delay = now.Sub(t.last).Truncate(time.Millisecond)
	t.last = t.last.Add(e.delay)
	if _, err := t.Out.Write(e.append(b)); err != nil {
		t.err = &recordError{err}
	}
	return t.err
}

// message writes what Read returned.
func (t *Transport) message(c *recorded, m transport.Message) error {
	m.ID = cmp.Or(m.Token, m.ID)
	if t.Token != nil && m.Kind == decode.KindData {
		m.ID = t.Token(m)
	}
	token := m.ID
	if t.Redact != nil {
		m.Data = bytes.Clone(m.Data)
		m = t.Redact(m)
	}
	t.lock()
	defer t.unlock()
	if token != "" {
		t.tokens = append(t.tokens, position{token, m.ID})
		t.tokens = t.tokens[max(0, len(t.tokens)-positions):]
	}
	if c.over {
		return nil // Close came first
	}
	e := describe(m)
	e.conn = c.n
	return t.write(e)
}

// end writes how a connection ended. Only the first call for a connection counts.
func (t *Transport) end(c *recorded, e *entry) {
	t.lock()
	defer t.unlock()
	if !c.over {
		c.over, e.conn = true, c.n
		t.write(e)
	}
}

// A recorded is a connection that is being recorded.
type recorded struct {
	transport.Conn
	by   *Transport
	ctx  context.Context
	n    int
	err  error // of the recording
	over bool  // guarded by the lock of by
}

func (c *recorded) Read(m *transport.Message) error {
	if c.err != nil {
		return c.err
	}
	if err := c.Conn.Read(m); err != nil {
		c.by.end(c, c.ending(err))
		return err
	}
	if c.err = c.by.message(c, *m); c.err != nil && m.Settle != nil {
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

func (c *recorded) Close() error {
	c.by.end(c, &entry{verb: verbClosed}) // before the close makes Read fail
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
