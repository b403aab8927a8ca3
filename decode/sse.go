package decode

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"
)

// SSE is the framing of server-sent events, text/event-stream (WHATWG HTML, section 9.2). The id of
// a block is the ID of its Frame. A block with an id but no data is a KindPosition frame. An "id:"
// line without a value resets the position: a KindPosition frame with an empty ID precedes the event,
// if there is one. A block that the end of the stream cuts off is io.ErrUnexpectedEOF, and its id
// does not count.
//
// An id with a control byte other than a tab cannot be sent in a Last-Event-ID header. It is
// ignored, as browsers ignore an id that contains NUL, and the position does not change. A
// KindInvalid frame before the event reports it.
type SSE struct {
	// Comments returns the text of comments in frames of KindComment.
	// Default: false; a comment is a keepalive without its text.
	Comments bool

	// ValidUTF8 replaces bytes that are not UTF-8 with U+FFFD, as browsers do. A replacement may
	// take three times as many bytes, and these are not limited.
	// Default: false; the bytes are unchanged.
	ValidUTF8 bool
}

func (SSE) MediaTypes() []string { return []string{"text/event-stream"} }

func (f SSE) NewSplitter(maxFrame int) Splitter {
	s := &sseSplitter{limit: maxFrame, comments: f.Comments}
	if f.ValidUTF8 {
		return utf8Splitter{s}
	}
	return s
}

// sseSplitter keeps an open block in the caller's buffer and remembers offsets into it, so that each
// line is parsed once, however the input is cut.
type sseSplitter struct {
	limit    int
	comments bool

	start
	skipLF bool // the last line ended with CR; an LF that follows belongs to it
	next   int  // offset of the next line in the buffer
	lf, cr int  // from next up to these offsets, there is no LF and no CR

	data     []span // values of the block's data lines
	typ, id  span
	hasID    bool
	fields   bool // the block has a line that is a field
	reset    bool // the KindPosition frame of an empty id has been returned
	skipping bool // in an oversize frame, up to the next empty line
	midLine  bool // while skipping: not at the start of a line
	dropped  int  // while skipping: bytes of the frame consumed

	types string // the last type, for reuse
	ids   strings.Builder
	joint []byte // memory for joined data lines
	many  []byte // values of data lines that are no longer in data, an LF after each
}

// maxSpans is the maximum number of data lines remembered as spans. Lines may be empty, and a span
// then takes more memory than its line.
const maxSpans = 256

type span struct{ from, to int }

func (s span) of(buf []byte) []byte { return buf[s.from:s.to] }

func (s *sseSplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	if s.skipLF && s.next == 0 {
		if s.passLF(buf); s.next > 0 {
			s.dropped++
			return s.consume(), false, nil
		}
	}
	switch {
	case s.skipping && atEOF && len(buf) == 0:
		return 0, false, at(-s.dropped, cutOff("SSE"))
	case s.skipping:
		n = s.skip(buf)
		s.dropped += n
		return n, false, nil
	case s.reset:
		return s.dispatch(f, buf), true, nil
	case s.next == 0 && s.lf == 0 && s.plain(f, buf):
		return s.consume(), true, nil
	}
	for {
		line, ok := s.line(buf)
		switch {
		case !ok && len(buf) > s.limit, line.to >= s.limit:
			return s.giveUp(ok && line.from == line.to)
		case !ok && atEOF && len(buf) > 0:
			return 0, false, cutOff("SSE")
		case !ok:
			return 0, false, nil
		case line.from == line.to:
			return s.dispatch(f, buf), true, nil
		}
		if ok := s.field(f, buf, line); ok || !s.fields {
			return s.between(), ok, nil
		}
	}
}

// line returns the next line without its end: CRLF, LF or CR. A line that ends with CR is complete
// at once; an LF after it is skipped when it arrives.
func (s *sseSplitter) line(buf []byte) (line span, ok bool) {
	s.passLF(buf)
	from := s.next
	end := find(buf, '\n', max(from, s.lf))
	s.lf = end
	if s.findCR(buf, end); s.cr < end {
		end = s.cr
		s.skipLF = true
	}
	if end == len(buf) {
		return span{}, false
	}
	s.next = end + 1
	s.passLF(buf)
	return span{from, end}, true
}

// findCR makes s.cr valid up to end. A stream without CR, as most are, is searched once.
func (s *sseSplitter) findCR(buf []byte, end int) {
	if s.cr < end && (s.cr < s.next || buf[s.cr] != '\r') {
		s.cr = find(buf, '\r', max(s.next, s.cr))
	}
}

// find returns the index of the first c in buf[from:], or len(buf).
func find(buf []byte, c byte, from int) int {
	if from < len(buf) && buf[from] == c {
		return from
	}
	if i := bytes.IndexByte(buf[from:], c); i >= 0 {
		return from + i
	}
	return len(buf)
}

// passLF skips the LF of a CRLF once it has arrived.
func (s *sseSplitter) passLF(buf []byte) {
	if s.skipLF && s.next < len(buf) {
		s.skipLF = false
		if buf[s.next] == '\n' {
			s.next++
		}
	}
}

// consume returns the length of the lines so far, which the caller consumes, and adjusts the
// offsets.
func (s *sseSplitter) consume() (n int) {
	n = s.next
	s.next, s.lf, s.cr = 0, max(s.lf-n, 0), max(s.cr-n, 0)
	return n
}

// between consumes the lines so far if they belong to no block.
func (s *sseSplitter) between() (n int) {
	if s.fields {
		return 0
	}
	return s.consume()
}

// maxName is the length of the longest known field name.
const maxName = len("event")

// field records a line of the block. If ok, the line by itself is the frame f.
func (s *sseSplitter) field(f *Frame, buf []byte, line span) (ok bool) {
	text := line.of(buf)
	colon := 0
	for colon < len(text) && colon < maxName && text[colon] != ':' {
		colon++
	}
	name, value := text, span{line.to, line.to}
	if colon < len(text) && text[colon] == ':' {
		name, value.from = text[:colon], line.from+colon+1
		if value.from < value.to && buf[value.from] == ' ' {
			value.from++
		}
	}
	switch string(name) {
	case "":
		f.Kind = KindKeepalive
		if s.comments {
			f.Kind, f.Data = KindComment, text[1:len(text):len(text)]
		}
		return true
	case "retry":
		ms, ok := digits(value.of(buf))
		if ok {
			f.Kind, f.Delay = KindRetry, milliseconds(ms)
		}
		return ok
	case "data":
		if len(s.data) == maxSpans {
			s.gather(buf)
		}
		s.data = append(s.data, value)
	case "event":
		s.typ = value
	case "id":
		if hasControl(value.of(buf)) {
			f.Kind, f.Data = KindInvalid, slices.Clip([]byte("the id contains control bytes and is ignored"))
			return true
		}
		s.id, s.hasID = value, true
	default:
		return false
	}
	s.fields = true
	return false
}

// hasControl reports whether b cannot be the value of a header.
func hasControl(b []byte) bool {
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		if ((x-' '*ones)|(x^0x7f*ones-ones))&^x&(0x80*ones) != 0 {
			break // or a tab
		}
		b = b[8:]
	}
	return bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// dispatch ends the block at an empty line.
func (s *sseSplitter) dispatch(f *Frame, buf []byte) (n int) {
	id := s.id.of(buf)
	switch {
	case len(s.data) == 0 && s.hasID:
		f.Kind, f.ID = KindPosition, s.keep(id)
	case len(s.data) == 0:
		f.Kind = KindKeepalive
	case s.hasID && len(id) == 0 && !s.reset:
		s.reset = true // the event itself is next
		f.Kind = KindPosition
		return 0
	default:
		f.Data, f.Type, f.ID = s.join(buf), s.typeOf(s.typ.of(buf)), s.keep(id)
	}
	s.forget()
	return s.consume()
}

// forget resets the splitter for the next block.
func (s *sseSplitter) forget() {
	s.data, s.many, s.typ, s.id = s.data[:0], nil, span{}, span{}
	s.hasID, s.fields, s.reset = false, false, false
}

// join returns the data of the block: its lines with an LF between them.
func (s *sseSplitter) join(buf []byte) []byte {
	if s.many != nil {
		s.gather(buf)
		n := len(s.many) - 1
		return s.many[:n:n]
	}
	if len(s.data) == 1 {
		d := s.data[0]
		return buf[d.from:d.to:d.to]
	}
	size := len(s.data) - 1
	for _, d := range s.data {
		size += d.to - d.from
	}
	if cap(s.joint)-len(s.joint) < size {
		s.joint = make([]byte, 0, max(size, minSlab, min(2*cap(s.joint), 4<<10)))
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

// gather moves the values so far from data to many, out of the buffer.
func (s *sseSplitter) gather(buf []byte) {
	for _, d := range s.data {
		s.many = append(append(s.many, d.of(buf)...), '\n')
	}
	s.data = s.data[:0]
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

// keep returns b as a string. Many strings share one allocation: what is written to a Builder never
// changes, and the Builder is replaced instead of grown.
func (s *sseSplitter) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s.ids.Cap()-s.ids.Len() < len(b) {
		size := min(max(2*s.ids.Cap(), 64), 1024)
		s.ids = strings.Builder{}
		s.ids.Grow(max(len(b), size))
	}
	from := s.ids.Len()
	s.ids.Write(b)
	return s.ids.String()[from:]
}

// giveUp drops a block that is too large. ended reports whether the line that exceeded the limit is
// the block's empty line; otherwise the rest of the block is skipped.
func (s *sseSplitter) giveUp(ended bool) (n int, ok bool, err error) {
	s.skipping, s.midLine = !ended, false
	s.forget()
	s.dropped = s.consume()
	return s.dropped, false, tooLarge("SSE", s.limit)
}

// skip consumes the rest of a dropped block.
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

// milliseconds returns n milliseconds, or the maximum Duration.
func milliseconds(n uint64) time.Duration {
	if n > uint64(math.MaxInt64/time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Millisecond
}
