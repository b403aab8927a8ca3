package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// LengthPrefixed is a framing in which each frame follows a line with its length in decimal digits
// (X's delimited=length). The length may include the CRLF or LF after the frame, only its CR, or
// neither; the line end is never part of Data. If the length does not cover a complete JSON object,
// array or string, it is too short: the frame then extends to the end of its line. An empty line
// before a length, or a length of zero, is a keepalive.
var LengthPrefixed Format = &framing{
	splitter: func(maxFrame int) Splitter {
		return &prefixSplitter{format: "LengthPrefixed", limit: maxFrame, prefix: decimalPrefix, lines: true}
	},
}

// Uint32Prefixed is a framing in which each frame follows its length in four bytes, big-endian. A
// length of zero is a keepalive.
var Uint32Prefixed Format = &framing{
	splitter: func(maxFrame int) Splitter {
		return &prefixSplitter{format: "Uint32Prefixed", limit: maxFrame, prefix: uint32Prefix}
	},
}

// VarintPrefixed is a framing in which each frame follows its length as a varint, like the delimited
// messages of protobuf (protobuf.dev/programming-guides/encoding). A length of zero is a keepalive.
var VarintPrefixed Format = &framing{
	splitter: func(maxFrame int) Splitter {
		return &prefixSplitter{format: "VarintPrefixed", limit: maxFrame, prefix: varintPrefix}
	},
}

// prefixSplitter compares the announced length with the limit, so that it reports an oversize frame
// without waiting for its bytes.
type prefixSplitter struct {
	start
	format string
	limit  int
	// prefix reads the length at the start of buf. n is 0 if more bytes are needed.
	prefix func(buf []byte) (n int, size uint64, err error)
	lines  bool // a line end follows each frame

	size int    // of the current frame, 0 between frames
	drop uint64 // bytes of an oversize frame that must still be skipped
	took int    // bytes of the frame consumed so far
	tail bool   // the line end after the last frame has not been read
	look int    // bytes of a frame longer than size searched for its line end
}

func (s *prefixSplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if s.lines && !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	between := false
	switch {
	case s.drop > 0:
		n = s.discard(buf)
	case s.tail:
		n, err = s.lineEnd(buf)
		between = len(buf) == 0
	case s.size > 0:
		n, ok, err = s.payload(f, buf, atEOF)
	default:
		n, ok, err = s.begin(f, buf, atEOF)
		between = len(buf) == 0
	}
	if atEOF && n == 0 && err == nil && !between {
		err = at(-s.took, cutOff(s.format))
	}
	return n, ok, err
}

// begin reads a length and, if it is complete, the frame after it.
func (s *prefixSplitter) begin(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	n, size, err := s.prefix(buf)
	switch {
	case err != nil:
		return 0, false, &FrameError{Format: s.format, Err: err}
	case n == 0:
		return 0, false, nil
	case size == 0:
		f.Kind = KindKeepalive
		return n, true, nil
	case size > uint64(s.limit):
		s.drop, s.took = size, n
		return n, false, tooLarge(s.format, s.limit)
	}
	s.size, s.took = int(size), n
	m, ok, err := s.payload(f, buf[n:], atEOF)
	return n + m, ok, at(n, err)
}

func (s *prefixSplitter) payload(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if n = s.size; len(buf) < n {
		return 0, false, nil
	}
	data := buf[:n]
	if s.lines {
		if n, data, err = s.line(buf, atEOF); n == 0 {
			return 0, false, err
		}
	}
	s.size, s.took, s.look = 0, 0, 0
	if len(data) == 0 {
		f.Kind = KindKeepalive
		return n, true, nil
	}
	f.Data = data[:len(data):len(data)]
	return n, true, nil
}

// line returns the frame at the start of buf without its line end, and the number of bytes that it
// takes: the announced ones, or its whole line if those are not a complete value.
func (s *prefixSplitter) line(buf []byte, atEOF bool) (n int, data []byte, err error) {
	n = s.size
	if s.look == 0 {
		var counted bool
		data, counted = bytes.CutSuffix(buf[:n], []byte("\n"))
		data = trimCR(data)
		if s.tail = !counted && delimitsItself(data); counted || s.tail {
			return n, data, nil
		}
		s.look = n
	}
	from := s.look
	s.look = len(buf)
	if end := bytes.IndexByte(buf[from:], '\n'); end >= 0 {
		data, n = trimCR(buf[:from+end]), from+end+1
	} else if data = trimCR(buf); atEOF && len(data) <= n {
		n = len(buf)
	} else {
		n = 0
	}
	if len(data) > s.limit && (n > 0 || len(buf) > s.limit+len(crlf)) {
		return 0, nil, at(-s.took, &FrameError{Format: s.format, Err: errLonger})
	}
	return n, data, nil
}

// lineEnd consumes the line end after a frame whose length does not include it.
func (s *prefixSplitter) lineEnd(buf []byte) (n int, err error) {
	switch {
	case len(buf) == 0 || len(buf) == 1 && buf[0] == '\r':
		return 0, nil
	case buf[0] == '\n':
		n = 1
	case bytes.HasPrefix(buf, crlf):
		n = 2
	default:
		return 0, &FrameError{Format: s.format, Err: errLongerBefore}
	}
	s.tail = false
	return n, nil
}

func (s *prefixSplitter) discard(buf []byte) (n int) {
	n = int(min(s.drop, uint64(len(buf))))
	s.drop -= uint64(n)
	s.took += n
	if s.drop == 0 {
		s.took = 0
		s.tail = s.lines && buf[n-1] != '\n'
	}
	return n
}

// maxDigits is the maximum number of digits of a length. So many always fit in 64 bits.
const maxDigits = 19

func decimalPrefix(buf []byte) (n int, size uint64, err error) {
	end := bytes.IndexByte(buf[:min(len(buf), maxDigits+len(crlf))], '\n')
	if end < 0 {
		begun := trimCR(buf)
		if _, ok := digits(begun); len(begun) > 0 && !ok || len(buf) >= maxDigits+len(crlf) {
			return 0, 0, errLength
		}
		return 0, 0, nil
	}
	line := trimCR(buf[:end])
	size, ok := digits(line)
	if len(line) > 0 && !ok || len(line) > maxDigits {
		return 0, 0, errLength
	}
	return end + 1, size, nil
}

func uint32Prefix(buf []byte) (n int, size uint64, err error) {
	if len(buf) < 4 {
		return 0, 0, nil
	}
	return 4, uint64(binary.BigEndian.Uint32(buf)), nil
}

func varintPrefix(buf []byte) (n int, size uint64, err error) {
	size, n = binary.Uvarint(buf)
	if n < 0 {
		return 0, 0, errLength
	}
	return n, size, nil
}

var (
	errLength       = errors.New("does not begin with a length")
	errLonger       = errors.New("longer than announced, and larger than MaxFrame")
	errLongerBefore = errors.New("the frame before it is longer than announced")
)
