package mock

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// A Step is one thing that a [Feed] does. The functions that return a Step make them;
// a Step may be used in several scripts.
type Step struct {
	act    act
	frame  decode.Frame  // sends
	raw    []byte        // garbles
	rest   time.Duration // pauses; refuses (every attempt for so long)
	code   int           // refuses with a status, closes with a code
	header http.Header   // of that refusal
	reason string        // of that close
	slow   time.Duration // in which the bytes come
	part   bool          // the connection breaks inside the frame,
	kept   int           // after so many bytes

	gap *transport.Gap // before the frame, for who has no wire

	// Of the faults of an Exploration.
	away     int  // that many events are played while nobody is connected
	resuming bool // an attempt without a token is not refused
	again    bool // the event is repeated, and not once more for those who come later
}

// act says what a Step does.
type act uint8

const (
	sends act = iota // brings a frame
	garbles
	pauses
	drops
	stalls
	ends
	closes
	completes
	refuses // fails the connect
	answers // gives a status instead of a feed
)

var actNames = [...]string{"event", "malformed", "pause", "drop", "stall", "end", "close", "complete", "refuse", "status"}

func (a act) String() string { return actNames[a] }

// text is for people to read.
func (s Step) text() string {
	switch {
	case s.isEvent() && s.part:
		return "part of event " + label(s.frame.ID, s.frame.Data)
	case s.isEvent():
		return "event " + label(s.frame.ID, s.frame.Data)
	case s.act == sends && s.frame.Kind == decode.Position:
		return fmt.Sprintf("position %q", s.frame.ID)
	case s.act == sends:
		return "keepalive"
	}
	return s.act.String()
}

// isEvent tells whether the step brings an event, which is what the log keeps.
func (s Step) isEvent() bool { return s.act == sends && s.frame.Kind == decode.Data }

// turnsAway tells whether the step acts on an attempt instead of a connection.
func (s Step) turnsAway() bool { return s.act == refuses || s.act == answers }

// hasBytes tells whether the step sends something.
func (s Step) hasBytes() bool { return s.act == sends || s.act == garbles }

// atOnce tells whether the step brings a frame without any delay.
func (s Step) atOnce() bool { return s.act == sends && !s.part && s.slow <= 0 }

// Event sends an event. Its id, if any, is the token from which a consumer resumes
// behind it.
func Event(id, data string) Step {
	return Frame(decode.Frame{ID: id, Data: []byte(data)})
}

// Frame sends f as it is: an event with a type, a comment, or whatever else
// [decode.Frame] can say. Truncated is not sent.
func Frame(f decode.Frame) Step {
	f.Data = bytes.Clone(f.Data)
	return Step{act: sends, frame: f}
}

// Keepalive sends proof of life and nothing else: a comment (SSE), an empty line
// (the other framings), a ping (WebSocket).
func Keepalive() Step { return Frame(decode.Frame{Kind: decode.Keepalive}) }

// Retry asks for d between connections. Only SSE can say that; elsewhere it is a keepalive.
func Retry(d time.Duration) Step {
	return Frame(decode.Frame{Kind: decode.Retry, Delay: d})
}

// Position moves the resume position to id without an event. An empty id means that
// there is no position.
func Position(id string) Step {
	return Frame(decode.Frame{Kind: decode.Position, ID: id})
}

// Pause is silence on every connection for d, counted from when the script comes to it.
// A consumer that reconnects meanwhile waits for the rest of it.
func Pause(d time.Duration) Step { return Step{act: pauses, rest: d} }

// Malformed sends bytes that are no frame. On a wire the consumer makes of them what it
// can, and the script goes on. Without a wire there is nothing to be made of them: the Read
// fails with a [decode.FrameError], and the connection is over.
func Malformed(raw []byte) Step { return Step{act: garbles, raw: bytes.Clone(raw)} }

// Slowly lets the bytes of an event come one at a time, those of a long one a few at a
// time, the last of them after d. Without a wire the event comes after d. A step that sends
// nothing stays as it is.
func Slowly(d time.Duration, s Step) Step {
	if s.hasBytes() {
		s.slow = d
	}
	return s
}

// Partial sends the first n bytes of what the event is on the wire, and then breaks the
// connection like [Drop]. A negative n leaves out that many of the last bytes. The last one
// that counts never comes, so that the consumer has no event; without a wire it just finds
// the connection dropped. The event is in the log nevertheless: who resumes gets all of it,
// and who comes back without a token has lost it. With a step that sends nothing it is a Drop.
func Partial(s Step, n int) Step {
	if !s.hasBytes() {
		return Drop()
	}
	s.part, s.kept = true, n
	return s
}

// Drop breaks the connection. The consumer reads io.ErrUnexpectedEOF; on a wire the
// response is cut off before its end.
func Drop() Step { return Step{act: drops} }

// Stall is silence on an open connection until the consumer gives it up. A WebSocket
// answers neither pings nor a close either; HTTP/2's pings are net/http's to answer, and
// [Network.Cut] is the silence that nothing gets through.
func Stall() Step { return Step{act: stalls} }

// End ends the connection in good order: io.EOF. The feed goes on with the next one.
func End() Step { return Step{act: ends} }

// Complete ends the feed: transport.ErrEnd for those who are connected and for every
// later attempt, unless its token shows that it still has events to get. On a wire the
// response ends and later attempts are answered 204. No step after it is played.
func Complete() Step { return Step{act: completes} }

// Refuse fails one attempt to connect with a network error: ECONNREFUSED, and on a wire,
// where the handler comes too late for that, a connection that is reset before there is
// a response. A connection that is open when the script comes to it breaks as with
// [Drop].
func Refuse() Step { return Step{act: refuses} }

// Status answers one attempt with an HTTP status instead of a feed. A connection that is
// open when the script comes to it breaks as with [Drop]. Without a wire a code of 400 or
// above is a [transport.StatusError], 204 is transport.ErrEnd, and any other is a
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
