package decode

import (
	"errors"
	"fmt"
	"io"
)

// JSONArray is the framing of one JSON array that grows without end, as Envoy's and other gRPC
// transcoders write a stream of messages. Each element is a Frame, delivered at its own closing byte
// if it has one. An empty line in the white space around elements is a keepalive. The stream ends
// cleanly after the closing bracket; an end before that is io.ErrUnexpectedEOF. Elements are
// validated like the values of ConcatJSON, and an invalid byte ends the stream in the same way.
var JSONArray Format = &framing{
	mediaTypes: []string{"application/json"},
	splitter: func(maxFrame int) Splitter {
		return &arraySplitter{jsonValue: jsonValue{format: "JSONArray", limit: maxFrame}}
	},
}

type arraySplitter struct {
	start
	jsonValue
	jsonSpace
	place arrayPlace
}

// An arrayPlace is a place in the array. It determines what may come next.
type arrayPlace uint8

const (
	beforeArray arrayPlace = iota
	firstElement
	element
	afterElement
	afterArray
)

func (s *arraySplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	for {
		for !s.scan.begun {
			m, beat := s.skipSpace(buf[n:])
			n += m
			if beat {
				f.Kind = KindKeepalive
				return n, true, nil
			}
			if n == len(buf) {
				return n, false, s.end(n, atEOF)
			}
			one, err := s.punctuation(buf[n])
			if err != nil {
				return n, false, at(n, &FrameError{Format: s.format, Err: err})
			}
			if !one {
				break
			}
			n++
		}
		m, ok, err := s.cut(f, buf[n:])
		if atEOF && s.scan.begun && m == 0 {
			err = s.failed(io.ErrUnexpectedEOF)
		}
		if !s.scan.begun {
			s.place, s.inLine = afterElement, true
		}
		if ok || err != nil || s.scan.begun {
			return n + m, ok, at(n, err)
		}
		n += m
	}
}

// punctuation reports whether c, a byte between elements, is a bracket or comma of the array rather
// than the first byte of an element.
func (s *arraySplitter) punctuation(c byte) (one bool, err error) {
	switch {
	case s.place == beforeArray && c == '[':
		s.place, s.inLine = firstElement, true
	case s.place == afterElement && c == ',':
		s.place = element
	case (s.place == afterElement || s.place == firstElement) && c == ']':
		s.place, s.inLine = afterArray, true
	case s.place == firstElement || s.place == element:
		return false, nil
	default:
		return false, fmt.Errorf("%q %w", c, errPlaces[s.place])
	}
	return true, nil
}

var errPlaces = [...]error{
	beforeArray:  errors.New("does not start an array"),
	afterElement: errors.New("follows an element instead of a comma or ]"),
	afterArray:   errors.New("follows the array"),
}

// end returns the error of a stream that ends outside of an element, nil if it may.
func (s *arraySplitter) end(n int, atEOF bool) error {
	if !atEOF || n > 0 || s.place == beforeArray || s.place == afterArray {
		return nil
	}
	return cutOff(s.format)
}
