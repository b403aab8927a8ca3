package decode

import "time"

// Kind says what a Frame is. Only Data frames are events; the others are what
// a framing says between events.
type Kind uint8

const (
	Data      Kind = iota // an event
	Comment               // text that is not an event, such as an SSE comment; Data holds the text
	Keepalive             // an empty frame: proof of life, nothing else
	Position              // the resume position is now ID, without an event; an empty ID means "none"
	Retry                 // the server asks for Delay between connections, which may be 0
	Invalid               // a field that the framing ignores because of its value; Data says why
)

// A Frame is one unit of a feed as the framing delimits it.
type Frame struct {
	// Data is the payload without its delimiter. It belongs to the receiver:
	// it is never reused or overwritten, and appending to it copies.
	Data []byte

	// Type is the event type where the framing carries one (SSE: "message" when
	// the event names none), else empty.
	Type string

	// ID is the id that this frame itself carries, else empty. An SSE id stays in
	// force for the events after it: whoever resumes keeps the last ID seen on a
	// Data frame that has one, or on a Position frame.
	ID string

	// Delay is the reconnection time of a Retry frame.
	Delay time.Duration

	Kind Kind

	// Truncated marks the last frame of a stream if nothing says that it is whole: a line
	// of text without its line end, or a number in ConcatJSON. It may be the beginning of
	// a longer one.
	Truncated bool
}

// A Splitter cuts the bytes of one connection into frames. It does no I/O,
// starts nothing and keeps no reference to buf beyond what it returned.
// A Splitter serves one stream from its first byte, from one goroutine.
//
// Split looks at buf, all bytes received and not yet consumed, and returns how
// many of them it has consumed and, when ok, the next frame. Frame.Data may
// alias buf, which the caller therefore must not overwrite afterwards.
// With ok false and n 0 it needs more bytes: the next call's buf starts with the
// same bytes and has more behind them, or atEOF is true. A frame may be returned
// with n 0; Split is then called again with the same bytes.
//
// An error is a *FrameError whose Offset counts from buf[0]. After one for which Resync
// is true, n bytes have been consumed and the next call goes on with the next frame;
// after any other, the stream cannot be split further.
// At the end of input a partial frame is an error that wraps io.ErrUnexpectedEOF,
// never data, unless the framing lets a last line lack its line end.
type Splitter interface {
	Split(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error)
}

// A Format is a framing. It makes one Splitter for each connection.
// Its methods may be called from several goroutines at once.
type Format interface {
	// NewSplitter returns a Splitter that refuses a frame of more than maxFrame
	// bytes. It is always greater than zero.
	NewSplitter(maxFrame int) Splitter
	// MediaTypes are the types under which servers send this framing, the
	// preferred one first, in lower case and without parameters.
	MediaTypes() []string
}
