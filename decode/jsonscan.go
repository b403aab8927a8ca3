package decode

import (
	"errors"
	"fmt"
)

// maxDepth is how deep a JSON value may be nested, as in encoding/json.
const maxDepth = 10_000

var errTooDeep = errors.New("nested too deep")

// A valueScanner finds the end of a JSON value, or the first byte that makes it invalid,
// where encoding/json finds it. It looks at each byte once, however the value is cut into
// reads.
type valueScanner struct {
	begun  bool
	scalar bool          // a number or literal, which ends only at what follows it
	open   []expectation // for each object and array that is open, what is expected after it
	expect expectation
	token  token // the token that the bytes so far end in
	number numberState
	rest   string // of a literal
	hex    int    // digits of a \u escape to come
}

// A kind is what a byte means outside of a token.
type kind = uint8

const (
	other kind = iota
	space
	colon
	comma
	quote
	scalar // begins a number or literal
	openObject
	closeObject
	openArray
	closeArray
)

var kindOf = [256]kind{
	' ': space, '\t': space, '\n': space, '\r': space,
	'"': quote, '{': openObject, '}': closeObject, '[': openArray, ']': closeArray, ':': colon, ',': comma,
	'-': scalar, '0': scalar, '1': scalar, '2': scalar, '3': scalar, '4': scalar, '5': scalar, '6': scalar,
	'7': scalar, '8': scalar, '9': scalar, 't': scalar, 'f': scalar, 'n': scalar,
}

// An expectation is what may come next outside of a token. It leaves room for a kind, so that
// one byte holds both.
type expectation = uint8

const (
	wantTop expectation = (iota + 1) << 4 // 0: the byte is not allowed
	wantFirstKey
	wantKey
	wantColon
	wantMember
	wantMemberEnd
	wantFirstElement
	wantElement
	wantElementEnd
	wantNothing // the end of the value, or of an object or array in it
)

// follow is the grammar of RFC 8259: what is expected after a kind of byte. The value at the
// top is over at its end.
var follow = [256]expectation{
	wantTop | quote: wantNothing, wantTop | scalar: wantNothing,
	wantTop | openObject: wantFirstKey, wantTop | openArray: wantFirstElement,

	wantFirstKey | space: wantFirstKey, wantFirstKey | quote: wantColon, wantFirstKey | closeObject: wantNothing,
	wantKey | space: wantKey, wantKey | quote: wantColon,
	wantColon | space: wantColon, wantColon | colon: wantMember,

	wantMember | space: wantMember, wantMember | quote: wantMemberEnd, wantMember | scalar: wantMemberEnd,
	wantMember | openObject: wantFirstKey, wantMember | openArray: wantFirstElement,
	wantMemberEnd | space: wantMemberEnd, wantMemberEnd | comma: wantKey, wantMemberEnd | closeObject: wantNothing,

	wantFirstElement | space: wantFirstElement, wantFirstElement | quote: wantElementEnd, wantFirstElement | scalar: wantElementEnd,
	wantFirstElement | openObject: wantFirstKey, wantFirstElement | openArray: wantFirstElement, wantFirstElement | closeArray: wantNothing,
	wantElement | space: wantElement, wantElement | quote: wantElementEnd, wantElement | scalar: wantElementEnd,
	wantElement | openObject: wantFirstKey, wantElement | openArray: wantFirstElement,
	wantElementEnd | space: wantElementEnd, wantElementEnd | comma: wantElement, wantElementEnd | closeArray: wantNothing,
}

// next scans from buf[i:] and returns the index after the value. If the value has not ended, all of buf
// belongs to it. With an error, end is the index of the invalid byte.
func (s *valueScanner) next(buf []byte, i int) (end int, done bool, err error) {
	if i == len(buf) {
		return i, false, nil
	}
	if !s.begun {
		s.begun, s.expect, s.scalar = true, wantTop, isScalar(buf[i:])
	}
	end, done, err = s.scan(buf, i)
	if done || err != nil {
		s.reset()
	}
	return end, done, err
}

func (s *valueScanner) reset() { *s = valueScanner{open: s.open[:0]} }

// isScalar reports whether value can only be a number, true, false or null.
func isScalar(value []byte) bool { return kindOf[value[0]] == scalar }

// scan goes from token to token.
func (s *valueScanner) scan(buf []byte, i int) (end int, done bool, err error) {
	if s.token != noToken {
		if i, err = s.inToken(buf, i); s.token != noToken {
			return i, false, err
		}
	}
	expect := s.expect
	for expect != wantNothing && i < len(buf) {
		c, was := buf[i], expect
		k := kindOf[c]
		if expect = follow[was|k]; expect == 0 {
			return i, false, unexpected(c, was)
		}
		i++
		if k <= comma {
			continue
		}
		switch k {
		case quote:
			var ok bool
			if i, ok = stringEnd(buf, i); ok {
				if expect == wantColon && i < len(buf) && buf[i] == ':' { // nearly always
					i, expect = i+1, wantMember
				}
				continue
			}
			s.token = inText
		case scalar:
			if end, ok := scalarEnd(buf, i-1); ok && expect != wantNothing {
				i = end
				continue
			}
			s.begin(c)
		case openObject, openArray:
			if len(s.open) == maxDepth {
				return i - 1, false, errTooDeep
			}
			s.open = append(s.open, follow[was|quote]) // as after a string
			continue
		default:
			last := len(s.open) - 1
			s.open, expect = s.open[:last], s.open[last]
			continue
		}
		s.expect = expect
		if i, err = s.inToken(buf, i); s.token != noToken {
			return i, false, err
		}
	}
	s.expect = expect
	return i, expect == wantNothing, nil
}

func isSpace(c byte) bool { return kindOf[c] == space }

// The errors are in the words of encoding/json.
func invalid(c byte, where string) error { return fmt.Errorf("invalid character %q %s", c, where) }

// unexpected is the error about a byte that cannot follow.
func unexpected(c byte, expect expectation) error {
	where := "looking for beginning of value"
	switch expect {
	case wantFirstKey, wantKey:
		where = "looking for beginning of object key string"
	case wantColon:
		where = "after object key"
	case wantMemberEnd:
		where = "after object key:value pair"
	case wantElementEnd:
		where = "after array element"
	}
	return invalid(c, where)
}
