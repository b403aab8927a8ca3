package mock

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

// A Recorder is a transport.Transport that writes down what another one brings, for
// [Replay] to make a script of. Use it as *Recorder and do not change it once it is in use.
// It starts no goroutine.
//
//	sub, err := client.Subscribe(ctx, &mock.Recorder{Transport: feed, Out: file}, nil)
//
// The recording is text, made to be read, compared and edited:
//
//	steadfeed recording 1
//	1 0s open
//	1 120ms event id=7 type=update
//		{"fruit":"apple"}
//	1 2.4s cut
//	2 1.03s status code=503 retry-after=30 after=7
//
// Each line has the number of a connection, the time since the line before it, rounded
// to milliseconds, and what happened then. It is written at once, in one piece, by one
// call of Out.Write.
//
// What is never written: headers, URLs, the texts of errors, and a token from which a
// connection resumed, unless it is one that the recording shows already. What is written
// as it comes, unless Redact changes it: payloads, ids and types of events.
type Recorder struct {
	// Transport is the one that is recorded. Required.
	Transport transport.Transport

	// Out is where the recording goes. Once it fails, so does every Open and Read, with
	// an error whose Retryable method returns false: half a recording is not taken for a
	// whole one. Required.
	Out io.Writer

	// Token finds the position behind an event, which becomes the id in the recording,
	// as the function in client.Options does for feeds that carry it in their payload.
	// Default: the message's ID.
	Token func(transport.Message) string

	// Redact returns what is to be written of a message. It may change the data it is
	// given, which is a copy. It is called from Read. Default: all of it.
	Redact func(transport.Message) transport.Message

	mu   sync.Mutex    // guards turn only: Out may wait
	turn chan struct{} // has one in it while the fields below are in use

	conns  int
	begun  bool
	last   time.Time // when the last line happened
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

// positions is how many of them a Recorder remembers. Whoever resumes names one of the
// last.
const positions = 256

// Validate reports all that is wrong with the Recorder, and with the Transport.
func (r *Recorder) Validate() error {
	var problems []error
	if r.Transport == nil || r.Out == nil {
		problems = append(problems, &recordError{errors.New("a Recorder needs Transport and Out")})
	}
	if v, ok := r.Transport.(interface{ Validate() error }); ok {
		problems = append(problems, v.Validate())
	}
	return errors.Join(problems...)
}

// Positionless reports what the Transport does. See transport.Positionless.
func (r *Recorder) Positionless() bool {
	p, ok := r.Transport.(transport.Positionless)
	return ok && p.Positionless()
}

// Open connects the Transport. It is the method of transport.Transport.
func (r *Recorder) Open(ctx context.Context, token string) (transport.Conn, error) {
	if r.Transport == nil || r.Out == nil {
		return nil, r.Validate()
	}
	inner, err := r.Transport.Open(ctx, token)
	n, failed := r.opened(ctx, token, err)
	switch {
	case err == nil && failed == nil:
		return &recorded{ExtendedConn: transport.Extend(inner), recorder: r, ctx: ctx, n: n}, nil
	case err == nil:
		inner.Close()
		return nil, failed
	}
	return nil, err
}

// opened writes what became of an attempt.
func (r *Recorder) opened(ctx context.Context, token string, err error) (n int, failed error) {
	r.enter()
	defer r.leave()
	if ctx.Err() != nil && err != nil {
		return 0, nil // it was given up, which says nothing about the feed
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

// closing is the line about a WebSocket that the server has closed with a code; nil about
// anything else.
func closing(err error) *entry {
	var closed *transport.CloseError
	if !errors.As(err, &closed) || !isCloseCode(closed.Code) {
		return nil
	}
	e := &entry{verb: verbClose}
	e.set("code", strconv.Itoa(closed.Code))
	return e
}

// isCloseCode tells whether a code can be sent (RFC 6455, section 7.4).
func isCloseCode(code int) bool {
	return code >= 1000 && code < 5000 && code != 1005 && code != 1006 && code != 1015
}

// refusal is the line about an attempt that ended with err.
func refusal(err error) *entry {
	var status *transport.StatusError
	var behaves interface{ Protocol() bool }
	switch {
	case err == nil, closing(err) != nil:
		return &entry{verb: verbOpen} // who closes with a code was there
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

// shown is the id under which token was written, or "?".
func (r *Recorder) shown(token string) string {
	for _, p := range slices.Backward(r.tokens) {
		if p.token == token {
			return p.id
		}
	}
	return "?"
}

// write adds a line. The caller has the turn.
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
	// What rounding leaves is for the next line.
	e.delay = now.Sub(r.last).Truncate(time.Millisecond)
	r.last = r.last.Add(e.delay)
	if _, err := r.Out.Write(e.append(b)); err != nil {
		r.err = &recordError{err}
	}
	return r.err
}

// message writes what a Read brought.
func (r *Recorder) message(c *recorded, m transport.Message) error {
	if r.Token != nil && m.Kind == decode.Data {
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
		return nil // Close was quicker
	}
	e := describe(m)
	e.conn = c.n
	return r.write(e)
}

// end writes how a connection ended. The first word stands.
func (r *Recorder) end(c *recorded, e *entry) {
	r.enter()
	defer r.leave()
	if !c.over {
		c.over, e.conn = true, c.n
		r.write(e)
	}
}

// recorded is a connection that is written down.
type recorded struct {
	transport.ExtendedConn
	recorder *Recorder
	ctx      context.Context
	n        int
	err      error // of the recording
	over     bool  // guarded by the recorder's turn
}

var _ transport.ExtendedConn = (*recorded)(nil)

func (c *recorded) Read() (m transport.Message, err error) {
	err = c.ReadTo(&m)
	return m, err
}

func (c *recorded) ReadTo(m *transport.Message) error {
	if c.err != nil {
		return c.err
	}
	if err := c.ExtendedConn.ReadTo(m); err != nil {
		c.recorder.end(c, c.ending(err))
		return err
	}
	if c.err = c.recorder.message(c, *m); c.err != nil && m.Settle != nil {
		m.Settle(c.err)
	}
	return c.err
}

// ending is the line about the end of a connection.
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
	c.recorder.end(c, &entry{verb: verbClosed}) // before Read fails because of it
	return c.ExtendedConn.Close()
}

// Offer does nothing, so that every message comes to Read, in the order that is recorded.
func (c *recorded) Offer(func(*transport.Message) bool) {}

// recordError is a recording that cannot go on.
type recordError struct{ err error }

func (e *recordError) Error() string   { return fmt.Sprintf("mock: recording: %v", e.err) }
func (e *recordError) Unwrap() error   { return e.err }
func (e *recordError) Retryable() bool { return false }
