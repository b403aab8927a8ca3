package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// LengthPrefixed is a framing in which the length of a frame, in decimal digits on a line
// of its own, comes before it (X's delimited=length). The bytes counted may include the
// CRLF or LF after the frame, its CR only, or leave it out; it is not part of Data in any
// case. A length that is too short is recognised if what it covers is no whole JSON object,
// array or string: the frame then extends to the end of its line. An empty line before a
// length, or a length of zero, is a Keepalive.
type LengthPrefixed struct{}

// Uint32Prefixed is a framing in which the length of a frame comes before it as four
// bytes, the most significant first. A length of zero is a Keepalive.
type Uint32Prefixed struct{}

// VarintPrefixed is a framing in which the length of a frame comes before it as a varint
// (protobuf.dev/programming-guides/encoding), as protobuf's writers of delimited messages
// do. A length of zero is a Keepalive.
type VarintPrefixed struct{}

// MediaTypes returns nil: none says that lengths come before the frames.
func (LengthPrefixed) MediaTypes() []string { return nil }

// MediaTypes returns nil: none says that lengths come before the frames.
func (Uint32Prefixed) MediaTypes() []string { return nil }

// MediaTypes returns nil: none says that lengths come before the frames.
func (VarintPrefixed) MediaTypes() []string { return nil }

func (LengthPrefixed) NewSplitter(maxFrame int) Splitter {
	return &prefixSplitter{format: "LengthPrefixed", limit: maxFrame, prefix: decimalPrefix, lines: true}
}

func (Uint32Prefixed) NewSplitter(maxFrame int) Splitter {
	return &prefixSplitter{format: "Uint32Prefixed", limit: maxFrame, prefix: uint32Prefix}
}

func (VarintPrefixed) NewSplitter(maxFrame int) Splitter {
	return &prefixSplitter{format: "VarintPrefixed", limit: maxFrame, prefix: varintPrefix}
}

// prefixSplitter holds a limit against the length that is announced: no byte of an
// oversize frame is waited for.
type prefixSplitter struct {
	start
	format string
	limit  int
	// prefix reads the length that buf begins with. n is 0 when more bytes are needed.
	prefix func(buf []byte) (n int, size uint64, err error)
	lines  bool // a line end follows each frame

	size int    // of the frame that is being received, 0 between frames
	drop uint64 // bytes of an oversize frame that are to come
	took int    // bytes of the frame that were consumed already
	tail bool   // the line end behind the last frame is to come
	look int    // how far a frame longer than size was searched for its line end
}

func (s *prefixSplitter) Split(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	if s.lines && !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, f, false, nil
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
		n, f, ok, err = s.payload(buf, atEOF)
	default:
		n, f, ok, err = s.begin(buf, atEOF)
		between = len(buf) == 0
	}
	if atEOF && n == 0 && err == nil && !between {
		err = at(-s.took, cutOff(s.format))
	}
	return n, f, ok, err
}

// begin reads a length and, if it is there, what it announces.
func (s *prefixSplitter) begin(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	n, size, err := s.prefix(buf)
	switch {
	case err != nil:
		return 0, f, false, &FrameError{Format: s.format, Err: err}
	case n == 0:
		return 0, f, false, nil
	case size == 0:
		return n, Frame{Kind: Keepalive}, true, nil
	case size > uint64(s.limit):
		s.drop, s.took = size, n
		return n, f, false, tooLarge(s.format, s.limit)
	}
	s.size, s.took = int(size), n
	m, f, ok, err := s.payload(buf[n:], atEOF)
	return n + m, f, ok, at(n, err)
}

func (s *prefixSplitter) payload(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	if n = s.size; len(buf) < n {
		return 0, f, false, nil
	}
	data := buf[:n]
	if s.lines {
		if n, data, err = s.line(buf, atEOF); n == 0 {
			return 0, f, false, err
		}
	}
	s.size, s.took, s.look = 0, 0, 0
	if len(data) == 0 {
		return n, Frame{Kind: Keepalive}, true, nil
	}
	return n, Frame{Data: data[:len(data):len(data)]}, true, nil
}

// line returns the frame at the beginning of buf without its line end, and how many bytes it
// takes: those that were announced, or all of its line if they are not a whole value.
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

// lineEnd consumes the line end behind a frame that does not include it.
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

// maxDigits are enough for any length: 64 bits have at most 20, and 19 always fit.
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
	errLonger       = errors.New("longer than was announced, and than MaxFrame")
	errLongerBefore = errors.New("the frame before it is longer than was announced")
)
