package decode

import (
	"slices"
	"time"
)

// A Kind is the kind of a Frame. Only KindData is an event; the others are what a server sends
// between events.
type Kind uint8

const (
	KindData      Kind = iota // an event
	KindComment               // text that is not an event, such as an SSE comment; Data holds the text
	KindKeepalive             // an empty frame, which shows that the connection is alive
	KindPosition              // the resume position is now ID, without an event; an empty ID means none
	KindRetry                 // the server asks for Delay between connections, which may be 0
	KindInvalid               // a field with a value that the framing ignores; Data is the reason
)

// A Frame is one unit of a feed as the framing delimits it.
type Frame struct {
	// Data is the payload without its delimiter. It belongs to the receiver: it is never reused or
	// overwritten, and appending to it copies. Reader.Borrow changes that.
	Data []byte

	// Type is the event type if the framing has types, and otherwise empty. An SSE event that names
	// none has the type "message".
	Type string

	// ID is the id that this frame itself carries, or empty. An SSE id also applies to the events
	// after it: to resume, use the last ID of a KindData frame that has one or of a KindPosition frame.
	ID string

	// Delay is the reconnection time of a KindRetry frame.
	Delay time.Duration

	Kind Kind

	// Truncated marks the last frame of a stream if it may be incomplete: a line of text without
	// its line end, or a number or literal in ConcatJSON.
	Truncated bool
}

// A Splitter cuts the bytes of one connection into frames. It does no I/O, starts no goroutines and
// keeps no reference to buf beyond the frames that it returned. A Splitter serves one stream from
// its first byte, from one goroutine.
//
// Split is called with a zero Frame and with buf, all bytes received and not yet consumed. It returns
// how many of them it has consumed and, if ok, has set f to the next frame; otherwise it leaves f
// zero. Frame.Data may alias buf, so the caller must not overwrite buf afterwards. If ok is false and
// n is 0, Split needs more bytes: in the next call, buf starts with the same bytes and has more after
// them, or atEOF is true. Split may return a frame with n 0; it is then called again with the same
// bytes.
//
// An error is a *FrameError whose Offset counts from buf[0]. If its Resync is true, n bytes have
// been consumed and the next call continues with the next frame. After any other error, the stream
// cannot be split further. At the end of input, a partial frame is an error that wraps
// io.ErrUnexpectedEOF, never data, unless the framing allows a last line without its line end.
type Splitter interface {
	Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error)
}

// A Format is a framing. It creates one Splitter for each connection. Its methods may be called from
// several goroutines at once.
type Format interface {
	// NewSplitter returns a Splitter that rejects a frame of more than maxFrame bytes. maxFrame is
	// always greater than zero.
	NewSplitter(maxFrame int) Splitter
	// MediaTypes returns the media types of this framing, the preferred one first, in lower case and
	// without parameters. It returns nil if there are none.
	MediaTypes() []string
}

// A framing is a Format without options.
type framing struct {
	mediaTypes []string
	splitter   func(maxFrame int) Splitter
}

func (f *framing) MediaTypes() []string { return slices.Clone(f.mediaTypes) }

func (f *framing) NewSplitter(maxFrame int) Splitter { return f.splitter(maxFrame) }
