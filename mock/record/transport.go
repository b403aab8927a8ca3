package record

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"

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

	recording recording
}

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

// Open connects From. It implements transport.Transport.
func (t *Transport) Open(ctx context.Context, token string) (*transport.Session, error) {
	if t.From == nil || t.Out == nil {
		return nil, t.Validate()
	}
	inner, err := t.From.Open(ctx, token)
	n, failed := t.recording.opened(ctx, t.Out, token, err)
	switch {
	case err == nil && failed == nil:
		s := *inner
		s.Conn = &recorded{Conn: inner.Conn, by: t, ctx: ctx, track: track{n: n}}
		return &s, nil
	case err == nil:
		inner.Close()
		return nil, failed
	}
	return nil, err
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
	return t.recording.message(t.Out, &c.track, position{token, m.ID}, describe(m))
}

// A recorded is a connection that is being recorded.
type recorded struct {
	transport.Conn
	by    *Transport
	ctx   context.Context
	track track
	err   error // of the recording
}

func (c *recorded) Read(m *transport.Message) error {
	if c.err != nil {
		return c.err
	}
	if err := c.Conn.Read(m); err != nil {
		c.by.recording.end(c.by.Out, &c.track, ending(c.ctx, err))
		return err
	}
	if c.err = c.by.message(c, *m); c.err != nil && m.Settle != nil {
		m.Settle(c.err)
	}
	return c.err
}

func (c *recorded) Close() error {
	c.by.recording.end(c.by.Out, &c.track, &entry{verb: verbClosed}) // before the close makes Read fail
	return c.Conn.Close()
}
