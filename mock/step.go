package mock

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock/internal/bridge"
)

// A Step is one action of a [Feed]. A Step may be used in several scripts.
type Step struct {
	act    act
	frame  decode.Frame  // sends
	raw    []byte        // garbles
	rest   time.Duration // pauses
	code   int           // answers with a status; closes with a code
	header http.Header   // of that answer
	reason string        // of that close
	slow   time.Duration // duration in which the bytes are sent
	part   bool          // the connection breaks inside the frame,
	kept   int           // after this many bytes

	extra bridge.Extra
}

// An act is the kind of a Step.
type act uint8

const (
	sends act = iota // a frame
	garbles
	pauses
	drops
	stalls
	ends
	closes
	completes
	refuses // an attempt with a network error
	answers // an attempt with a status
)

var actNames = [...]string{"event", "malformed", "pause", "drop", "stall", "end", "close", "complete", "refuse", "status"}

func (a act) String() string { return actNames[a] }

// describe describes the step for a reader.
func (s Step) describe() string {
	switch {
	case s.isEvent() && s.part:
		return "part of event " + label(s.frame.ID, s.frame.Data)
	case s.isEvent():
		return "event " + label(s.frame.ID, s.frame.Data)
	case s.act == sends && s.frame.Kind == decode.KindPosition:
		return fmt.Sprintf("position %q", s.frame.ID)
	case s.act == sends:
		return "keepalive"
	}
	return s.act.String()
}

// token returns the position after the frame.
func (s Step) token() string {
	if s.extra.Token != nil {
		return *s.extra.Token
	}
	return s.frame.ID
}

// onWire returns the frame as wires send it: they have one field for the id and the token, and a
// consumer resumes from it.
func (s Step) onWire() decode.Frame {
	f := s.frame
	f.ID = s.token()
	return f
}

// isEvent reports whether the step sends an event, which is what the log keeps.
func (s Step) isEvent() bool { return s.act == sends && s.frame.Kind == decode.KindData }

// refusesAttempt reports whether the step acts on an attempt instead of a connection.
func (s Step) refusesAttempt() bool { return s.act == refuses || s.act == answers }

// hasBytes reports whether the step sends something.
func (s Step) hasBytes() bool { return s.act == sends || s.act == garbles }

// isImmediate reports whether the step sends a frame without delay.
func (s Step) isImmediate() bool { return s.act == sends && !s.part && s.slow <= 0 }

// Event sends an event. A consumer resumes after it with its id as the token, unless the id is
// empty.
func Event(id, data string) Step {
	return Frame(decode.Frame{ID: id, Data: []byte(data)})
}

// Frame sends f as it is: an event with a type, a comment, a position, or any other
// [decode.Frame]. On a wire, only SSE can express a decode.KindRetry; elsewhere it is a
// keepalive. Truncated is not sent.
func Frame(f decode.Frame) Step {
	f.Data = bytes.Clone(f.Data)
	return Step{act: sends, frame: f}
}

// Keepalive sends a sign of life without data: a comment (SSE), an empty line (JSON), a ping
// (WebSocket).
func Keepalive() Step { return Frame(decode.Frame{Kind: decode.KindKeepalive}) }

// Pause keeps every connection silent for d, counted from when the script reaches it. A
// consumer that reconnects meanwhile waits for the rest of it.
func Pause(d time.Duration) Step { return Step{act: pauses, rest: d} }

// Malformed sends bytes that are not a frame. On a wire the consumer decodes what it can, and
// the script continues. Without a wire, Read fails with a [decode.FrameError], and the
// connection ends.
func Malformed(raw []byte) Step { return Step{act: garbles, raw: bytes.Clone(raw)} }

// Slowly sends the bytes of s spread over d: one at a time, or several at a time if there are
// many. The last one is sent after d. Without a wire the event arrives after d. A step that
// sends nothing stays as it is.
func Slowly(d time.Duration, s Step) Step {
	if s.hasBytes() {
		s.slow = d
	}
	return s
}

// Partial sends the first n bytes of an event's wire form, then breaks the connection like
// [Drop]. A negative n omits that many bytes at the end. The last significant byte is never
// sent, so the event is never complete. Without a wire the consumer only finds the connection
// dropped. The event is in the log nevertheless: a consumer that resumes receives it whole, and
// one that reconnects without a token has lost it. A step that sends nothing becomes a Drop.
func Partial(s Step, n int) Step {
	if !s.hasBytes() {
		return Drop()
	}
	s.part, s.kept = true, n
	return s
}

// Drop breaks the connection. The consumer reads io.ErrUnexpectedEOF; on a wire the response is
// cut off before its end.
func Drop() Step { return Step{act: drops} }

// Stall keeps the connection open and silent until the consumer closes it. A WebSocket answers
// neither pings nor a close. Over HTTP/2, net/http still answers pings; [Network.Cut] silences
// those too.
func Stall() Step { return Step{act: stalls} }

// End ends the connection cleanly: io.EOF. The feed continues with the next connection.
func End() Step { return Step{act: ends} }

// Complete ends the feed: transport.ErrComplete for connected consumers and for every later attempt,
// unless its token shows that events are left for it. On a wire the response ends, and later
// attempts are answered with status 204. Steps after it are not played. A transport.WebSocket
// reconnects after it, and the test does not end, unless its End is transport.EndFeed.
func Complete() Step { return Step{act: completes} }

// Refuse fails one attempt to connect with a network error. Without a wire that is
// ECONNREFUSED. On a wire, where the handler runs too late for that, the connection is reset
// before there is a response. A connection that is open when the script reaches it breaks as
// with [Drop].
func Refuse() Step { return Step{act: refuses} }

// Status answers one attempt with an HTTP status instead of a feed. A connection that is open
// when the script reaches it breaks as with [Drop]. Without a wire, a code of 400 or above is a
// [transport.StatusError], 204 is transport.ErrComplete, and any other is a
// [transport.ProtocolError].
func Status(code int, header ...http.Header) Step {
	s := Step{act: answers, code: code, header: make(http.Header)}
	for _, h := range header {
		for name, values := range h {
			for _, v := range values {
				s.header.Add(name, v)
			}
		}
	}
	return s
}
