package decode

import (
	"bytes"
	"math"
	"strings"
	"time"
)

// SSE is the framing of server-sent events, text/event-stream (WHATWG HTML, section
// 9.2). The id of a block is the Frame's ID, also when the block has no data: then the
// frame is a Position. An "id:" line without a value resets the position: a Position
// with an empty ID comes before the event, if there is one. A block that the end of the
// stream cuts off is io.ErrUnexpectedEOF, and its id does not count.
type SSE struct {
	// Comments reports the text of comments, in frames of Kind Comment.
	// Default: a comment is a Keepalive without its text.
	Comments bool
}

func (SSE) MediaTypes() []string { return []string{"text/event-stream"} }

func (f SSE) NewSplitter(maxFrame int) Splitter {
	return &sseSplitter{limit: maxFrame, comments: f.Comments}
}

// sseSplitter keeps an open block in the caller's buffer and remembers in offsets what it
// has found there: lines are looked at once, however the input is cut.
type sseSplitter struct {
	limit    int
	comments bool

	begun  bool // the first bytes have been looked at for a byte order mark
	skipLF bool // the last line ended with CR; an LF that follows belongs to it
	next   int  // where in the buffer the next line starts
	looked int  // how far the next line has been searched for its end
	lf     int  // there is no LF between looked and here

	data     []span // values of the block's data lines
	typ, id  span
	hasID    bool
	fields   bool // the block has a line that is a field
	reset    bool // the Position of an empty id has been returned
	skipping bool // behind an oversize frame, up to the next empty line
	midLine  bool // while skipping: not at the start of a line

	types string // the last type, to be used again
	ids   strings.Builder
	joint []byte // what several data lines are joined in
}

type span struct{ from, to int }

func (s span) of(buf []byte) []byte { return buf[s.from:s.to] }

var bom = []byte("\xef\xbb\xbf")

func (s *sseSplitter) Split(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	if !s.begun {
		if len(buf) < len(bom) && bytes.HasPrefix(bom, buf) && !atEOF {
			return 0, f, false, nil
		}
		s.begun = true
		if bytes.HasPrefix(buf, bom) {
			return len(bom), f, false, nil
		}
	}
	if s.next == 0 {
		if s.passLF(buf); s.next > 0 {
			return s.consume(), f, false, nil
		}
	}
	if s.skipping {
		if atEOF && len(buf) == 0 {
			return 0, f, false, cutOff("SSE")
		}
		return s.skip(buf), f, false, nil
	}
	if s.reset {
		n, f = s.dispatch(buf)
		return n, f, true, nil
	}
	for {
		line, ok := s.line(buf)
		if !ok {
			break
		}
		if line.to >= s.limit {
			return s.tooLarge()
		}
		if line.from == line.to {
			n, f = s.dispatch(buf)
			return n, f, true, nil
		}
		if f, ok := s.field(buf, line); ok || !s.fields {
			return s.between(), f, ok, nil
		}
	}
	switch {
	case len(buf) > s.limit:
		return s.tooLarge()
	case atEOF && len(buf) > 0:
		return 0, f, false, cutOff("SSE")
	}
	return 0, f, false, nil
}

// line returns the next line without its end: CRLF, LF or CR. A line that ends with CR is
// complete at once; an LF behind it is passed over when it comes.
func (s *sseSplitter) line(buf []byte) (line span, ok bool) {
	s.passLF(buf)
	from := max(s.next, s.looked)
	s.lf = max(s.lf, from)
	if s.lf == len(buf) || buf[s.lf] != '\n' {
		if i := bytes.IndexByte(buf[s.lf:], '\n'); i >= 0 {
			s.lf += i
		} else {
			s.lf = len(buf)
		}
	}
	end := s.lf
	if cr := bytes.IndexByte(buf[from:end], '\r'); cr >= 0 {
		end = from + cr
		s.skipLF = true
	}
	if end == len(buf) {
		s.looked = end
		return span{}, false
	}
	line = span{s.next, end}
	s.next = end + 1
	s.passLF(buf)
	return line, true
}

// passLF passes over the LF of a CRLF once it is there.
func (s *sseSplitter) passLF(buf []byte) {
	if s.skipLF && s.next < len(buf) {
		s.skipLF = false
		if buf[s.next] == '\n' {
			s.next++
		}
	}
}

// consume takes the lines so far out of the buffer.
func (s *sseSplitter) consume() (n int) {
	n = s.next
	s.next, s.looked, s.lf = 0, 0, max(s.lf-n, 0)
	return n
}

// between consumes the lines so far if they belong to no block.
func (s *sseSplitter) between() (n int) {
	if s.fields {
		return 0
	}
	return s.consume()
}

// field takes note of a line. It returns a frame for a line that says something at once.
func (s *sseSplitter) field(buf []byte, line span) (f Frame, ok bool) {
	text := line.of(buf)
	colon := bytes.IndexByte(text, ':')
	if colon == 0 {
		if !s.comments {
			return Frame{Kind: Keepalive}, true
		}
		return Frame{Kind: Comment, Data: text[1:len(text):len(text)]}, true
	}
	name, value := text, span{line.to, line.to}
	if colon > 0 {
		name, value.from = text[:colon], line.from+colon+1
		if value.from < value.to && buf[value.from] == ' ' {
			value.from++
		}
	}
	switch string(name) {
	case "data":
		s.data = append(s.data, value)
	case "event":
		s.typ = value
	case "id":
		if bytes.IndexByte(value.of(buf), 0) < 0 {
			s.id, s.hasID = value, true
		}
	case "retry":
		if ms, ok := digits(value.of(buf)); ok {
			return Frame{Kind: Retry, Delay: milliseconds(ms)}, true
		}
		return Frame{}, false
	default:
		return Frame{}, false
	}
	s.fields = true
	return Frame{}, false
}

// dispatch ends the block at an empty line.
func (s *sseSplitter) dispatch(buf []byte) (n int, f Frame) {
	id := s.id.of(buf)
	switch {
	case len(s.data) == 0 && s.hasID:
		f = Frame{Kind: Position, ID: s.keep(id)}
	case len(s.data) == 0:
		f = Frame{Kind: Keepalive}
	case s.hasID && len(id) == 0 && !s.reset:
		s.reset = true // the event itself is next
		return 0, Frame{Kind: Position}
	default:
		f = Frame{Data: s.join(buf), Type: s.typeOf(s.typ.of(buf)), ID: s.keep(id)}
	}
	s.forget()
	return s.consume(), f
}

// forget makes ready for the next block.
func (s *sseSplitter) forget() {
	s.data, s.typ, s.id = s.data[:0], span{}, span{}
	s.hasID, s.fields, s.reset = false, false, false
}

// join returns the data of the block: its lines with an LF between them.
func (s *sseSplitter) join(buf []byte) []byte {
	if len(s.data) == 1 {
		d := s.data[0]
		return buf[d.from:d.to:d.to]
	}
	size := len(s.data) - 1
	for _, d := range s.data {
		size += d.to - d.from
	}
	if cap(s.joint)-len(s.joint) < size {
		s.joint = make([]byte, 0, max(size, minSlab))
	}
	from := len(s.joint)
	for i, d := range s.data {
		if i > 0 {
			s.joint = append(s.joint, '\n')
		}
		s.joint = append(s.joint, d.of(buf)...)
	}
	return s.joint[from:len(s.joint):len(s.joint)]
}

func (s *sseSplitter) typeOf(b []byte) string {
	if len(b) == 0 {
		return "message"
	}
	if s.types != string(b) {
		s.types = string(b)
	}
	return s.types
}

// keep returns b as a string. Many of them share one allocation: what is written to a
// Builder never changes while it is not grown.
func (s *sseSplitter) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s.ids.Cap()-s.ids.Len() < len(b) {
		s.ids = strings.Builder{}
		s.ids.Grow(max(len(b), 1024))
	}
	from := s.ids.Len()
	s.ids.Write(b)
	return s.ids.String()[from:]
}

// tooLarge gives the block up. What follows goes on behind the next empty line.
func (s *sseSplitter) tooLarge() (n int, f Frame, ok bool, err error) {
	s.skipping, s.midLine = true, false
	s.forget()
	return s.consume(), f, false, tooLarge("SSE", s.limit)
}

// skip consumes what belongs to a block that was given up.
func (s *sseSplitter) skip(buf []byte) (n int) {
	for s.skipping {
		line, ok := s.line(buf)
		if !ok {
			s.midLine = s.midLine || s.next < len(buf)
			s.next = len(buf)
			break
		}
		s.skipping = line.from != line.to || s.midLine
		s.midLine = false
	}
	return s.consume()
}

// digits returns the value of ASCII digits, saturating.
func digits(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			n = math.MaxUint64
			continue
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// milliseconds returns n milliseconds, or the longest Duration there is.
func milliseconds(n uint64) time.Duration {
	if n > uint64(math.MaxInt64/time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Millisecond
}
