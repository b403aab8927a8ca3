package record

import (
	"context"
	"errors"
	"io"

	"github.com/steadfeed/steadfeed/transport"
)

// Transport returns a transport.Transport that records on out what from delivers, for [Replay]. It
// is otherwise the same as from, and starts no goroutine.
//
//	sub, err := client.Subscribe(ctx, record.Transport(feed, file, nil), nil)
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
// milliseconds, and what happened then. The id of an event is also the token of the position after
// it, unless there is a token: token=9, or token="" if the event has no position. An entry is
// written immediately, by one call of Write. Once that fails, so does every Open and Read, with an
// error whose Retryable method returns false, so that a partial recording is not taken for a
// complete one.
//
// # Security
//
// A recording contains no headers except Retry-After, no URLs, no error texts, and no token
// from which a connection resumed, unless the recording already shows it. Payloads, ids, tokens
// and types of events are recorded as they are, unless Redact changes them.
func Transport(from transport.Transport, out io.Writer, o *Options) transport.Transport {
	return &recordedTransport{from, newRecording(out, o)}
}

type recordedTransport struct {
	from transport.Transport
	*recording
}

// Validate reports a missing argument of Transport, and every problem of from.
func (t *recordedTransport) Validate() error {
	if t.from == nil || t.out == nil {
		return &recordError{errors.New("Transport: from and out must not be nil")}
	}
	return t.from.Validate()
}

func (t *recordedTransport) Open(ctx context.Context, token string) (*transport.Session, error) {
	if t.from == nil || t.out == nil {
		return nil, t.Validate()
	}
	inner, err := t.from.Open(ctx, token)
	n, failed := t.opened(ctx, token, err)
	switch {
	case err == nil && failed == nil:
		s := *inner
		s.Conn = &recorded{Conn: inner.Conn, by: t.recording, ctx: ctx, track: track{n: n}}
		return &s, nil
	case err == nil:
		inner.Close()
		return nil, failed
	}
	return nil, err
}

// A recorded is a connection that is being recorded.
type recorded struct {
	transport.Conn
	by    *recording
	ctx   context.Context
	track track
	err   error // of the recording
}

func (c *recorded) Read(m *transport.Message) error {
	if c.err != nil {
		return c.err
	}
	if err := c.Conn.Read(m); err != nil {
		c.by.end(&c.track, ending(c.ctx, err))
		return err
	}
	if c.err = c.by.message(&c.track, c.by.describe(*m)); c.err != nil && m.Settle != nil {
		m.Settle(c.err)
	}
	return c.err
}

func (c *recorded) Close() error {
	c.by.end(&c.track, &entry{verb: verbClosed}) // before the close makes Read fail
	return c.Conn.Close()
}
