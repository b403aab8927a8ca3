package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep a JSON value may be nested, as in encoding/json.
const maxDepth = 10_000

var (
	errTooDeep  = errors.New("nested too deep")
	errMismatch = errors.New("a bracket closes what is not open")
	errScalar   = errors.New("neither a number nor true, false or null")
)

// valueScanner finds the end of a JSON value. It looks at each byte once, however the
// value is cut into reads, and at no more of the grammar than brackets and strings.
type valueScanner struct {
	begun   bool
	scalar  bool   // a number or literal, which only what follows it ends
	open    []byte // the closing brackets to come, the innermost last
	quoted  bool   // inside a string
	escaped bool   // behind a backslash in a string
}

// What a byte means outside of a string.
const (
	plain byte = iota
	quote
	opening
	closing
)

var meaning = [256]byte{'"': quote, '{': opening, '[': opening, '}': closing, ']': closing}

// next goes on at buf[i:] and returns the index behind the value. Without one, all of buf
// belongs to the value.
func (s *valueScanner) next(buf []byte, i int) (end int, done bool, err error) {
	if !s.begun {
		if i == len(buf) {
			return i, false, nil
		}
		s.scalar = isScalar(buf[i:])
		if c := buf[i]; !s.scalar && meaning[c] != quote && meaning[c] != opening {
			return i, false, fmt.Errorf("%q begins no value", c)
		}
		s.begun = true
	}
	if s.scalar {
		end, done = scalarEnd(buf, i)
	} else {
		end, done, err = s.brackets(buf, i)
	}
	if done || err != nil {
		s.reset()
	}
	return end, done, err
}

func (s *valueScanner) reset() { *s = valueScanner{open: s.open[:0]} }

// isScalar tells whether value can only be a number, true, false or null.
func isScalar(value []byte) bool {
	switch c := value[0]; c {
	case '-', 't', 'f', 'n':
		return true
	default:
		return '0' <= c && c <= '9'
	}
}

// scalarEnd returns where a number or literal ends, if what ends it is there.
func scalarEnd(buf []byte, i int) (end int, done bool) {
	for ; i < len(buf); i++ {
		if c := buf[i]; isSpace(c) || meaning[c] != plain || c == ',' || c == ':' {
			return i, true
		}
	}
	return i, false
}

// brackets goes on in an object, array or string.
func (s *valueScanner) brackets(buf []byte, i int) (end int, done bool, err error) {
	if s.quoted {
		i = s.text(buf, i)
		done = !s.quoted && len(s.open) == 0
	}
	for i < len(buf) && !done {
		c := buf[i]
		i++
		switch meaning[c] {
		case plain:
		case quote:
			if q := quoteIn(buf, i); q < len(buf) && buf[q-1] != '\\' {
				i = q + 1 // as most strings are: short, and without a backslash at the end
			} else {
				s.quoted = true
				i = s.text(buf, i)
			}
			done = !s.quoted && len(s.open) == 0
		default:
			if done, err = s.bracket(c); err != nil {
				return i, false, err
			}
		}
	}
	return i, done, nil
}

// bracket takes note of a bracket, and is done at the last one.
func (s *valueScanner) bracket(c byte) (done bool, err error) {
	if meaning[c] == opening {
		if len(s.open) == maxDepth {
			return false, errTooDeep
		}
		s.open = append(s.open, c+2) // in ASCII a bracket and its counterpart are two apart
		return false, nil
	}
	last := len(s.open) - 1
	if s.open[last] != c {
		return false, errMismatch
	}
	s.open = s.open[:last]
	return last == 0, nil
}

// text returns the index behind a string, or the end of buf.
func (s *valueScanner) text(buf []byte, i int) int {
	if i == len(buf) {
		return i
	}
	if s.escaped {
		s.escaped = false
		i++
	}
	for from := i; ; from = i {
		i = quoteIn(buf, i)
		s.escaped = i > from && buf[i-1] == '\\' && odd(buf[from:i])
		if i == len(buf) {
			return i
		}
		i++
		if !s.escaped {
			s.quoted = false
			return i
		}
		s.escaped = false
	}
}

// quoteIn returns the index of the first quotation mark in buf[i:], or len(buf). Most strings
// are short, so it looks at eight bytes at a time before it pays for a call.
func quoteIn(buf []byte, i int) int {
	const ones, quotes = 0x0101010101010101, '"' * 0x0101010101010101
	for range 4 {
		if len(buf)-i < 8 {
			break
		}
		x := binary.LittleEndian.Uint64(buf[i:]) ^ quotes // a zero byte is a quotation mark
		if zero := (x - ones) &^ x & (ones << 7); zero != 0 {
			return i + bits.TrailingZeros64(zero)/8
		}
		i += 8
	}
	if n := bytes.IndexByte(buf[i:], '"'); n >= 0 {
		return i + n
	}
	return len(buf)
}

// odd tells whether b ends with an odd number of backslashes.
func odd(b []byte) bool {
	n := len(b)
	for n > 0 && b[n-1] == '\\' {
		n--
	}
	return (len(b)-n)%2 == 1
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// valid tells whether data is one JSON value. gjson's check calls itself for each level, so
// the depth has to be known before; with few brackets it cannot be large.
func valid(data []byte) bool {
	if bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxDepth {
		i := 0
		for i < len(data) && isSpace(data[i]) {
			i++
		}
		var s valueScanner
		if _, _, err := s.next(data, i); err != nil {
			return false
		}
	}
	return gjson.ValidBytes(data)
}
