package decode

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep a JSON value may be nested, as in encoding/json.
const maxDepth = 10_000

var errTooDeep = errors.New("nested too deep")

// A valueScanner finds the end of a JSON value, or the first byte that makes it invalid,
// where encoding/json finds it. It looks at each byte once, however the value is cut into
// reads.
type valueScanner struct {
	begun  bool
	scalar bool   // a number or literal, which ends only at what follows it
	open   []byte // the brackets that are open, the innermost last
	expect expectation
	token  token // the token that the bytes so far end in
	number numberState
	rest   string // of a literal
	hex    int    // digits of a \u escape to come
}

// A kind is what a byte means outside of a token.
type kind uint8

const (
	other kind = iota
	space
	quote
	scalar // begins a number or literal
	openObject
	closeObject
	openArray
	closeArray
	colon
	comma
)

var kindOf = [256]kind{
	' ': space, '\t': space, '\n': space, '\r': space,
	'"': quote, '{': openObject, '}': closeObject, '[': openArray, ']': closeArray, ':': colon, ',': comma,
	'-': scalar, '0': scalar, '1': scalar, '2': scalar, '3': scalar, '4': scalar, '5': scalar, '6': scalar,
	'7': scalar, '8': scalar, '9': scalar, 't': scalar, 'f': scalar, 'n': scalar,
}

// An expectation is what may come next outside of a token.
type expectation uint8

const (
	wantTop expectation = iota + 1 // 0: the byte is not allowed
	wantFirstKey
	wantKey
	wantColon
	wantMember
	wantMemberEnd
	wantFirstElement
	wantElement
	wantElementEnd
	wantNothing // the end of the value, or of an object or array in it
	expectations
)

// follow is the grammar of RFC 8259: what is expected after a kind of byte. The value at the
// top is over at its end.
var follow = [16][16]expectation{
	wantTop:          {quote: wantNothing, scalar: wantNothing, openObject: wantFirstKey, openArray: wantFirstElement},
	wantFirstKey:     {space: wantFirstKey, quote: wantColon, closeObject: wantNothing},
	wantKey:          {space: wantKey, quote: wantColon},
	wantColon:        {space: wantColon, colon: wantMember},
	wantMember:       {space: wantMember, quote: wantMemberEnd, scalar: wantMemberEnd, openObject: wantFirstKey, openArray: wantFirstElement},
	wantMemberEnd:    {space: wantMemberEnd, comma: wantKey, closeObject: wantNothing},
	wantFirstElement: {space: wantFirstElement, quote: wantElementEnd, scalar: wantElementEnd, openObject: wantFirstKey, openArray: wantFirstElement, closeArray: wantNothing},
	wantElement:      {space: wantElement, quote: wantElementEnd, scalar: wantElementEnd, openObject: wantFirstKey, openArray: wantFirstElement},
	wantElementEnd:   {space: wantElementEnd, comma: wantElement, closeArray: wantNothing},
}

// next goes on at buf[i:] and returns the index after the value. Without one, all of buf
// belongs to the value. With an error, end is the index of the invalid byte.
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
		c := buf[i]
		was := expect
		if expect = follow[was%16][kindOf[c]%16]; expect == 0 {
			return i, false, unexpected(c, was)
		}
		i++
		switch kindOf[c] {
		case quote:
			var ok bool
			if i, ok = stringEnd(buf, i); ok {
				continue
			}
			s.token = inText
		case scalar:
			s.begin(c)
			s.expect = expect
			if i, err = s.inScalar(buf, i); s.token != noToken {
				return i, false, err
			}
			continue
		case openObject, openArray:
			if len(s.open) == maxDepth {
				return i - 1, false, errTooDeep
			}
			s.open = append(s.open, c)
			continue
		case closeObject, closeArray:
			if s.open = s.open[:len(s.open)-1]; len(s.open) > 0 {
				expect = after(s.open[len(s.open)-1])
			}
			continue
		default:
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

// after is what is expected after a value inside of the bracket.
func after(bracket byte) expectation {
	if bracket == '{' {
		return wantMemberEnd
	}
	return wantElementEnd
}

func isSpace(c byte) bool { return kindOf[c] == space }

// The errors are in the words of encoding/json.
func invalid(c byte, where string) error { return fmt.Errorf("invalid character %q %s", c, where) }

var expected = [expectations]string{
	wantTop: "looking for beginning of value", wantMember: "looking for beginning of value",
	wantElement: "looking for beginning of value", wantFirstElement: "looking for beginning of value",
	wantFirstKey: "looking for beginning of object key string", wantKey: "looking for beginning of object key string",
	wantColon: "after object key", wantMemberEnd: "after object key:value pair", wantElementEnd: "after array element",
}

// unexpected is the error about a byte that cannot follow.
func unexpected(c byte, expect expectation) error { return invalid(c, expected[expect]) }

// valid reports whether data is one JSON value. gjson's check calls itself for each level, so
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
