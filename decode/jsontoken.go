package decode

import (
	"encoding/binary"
	"math/bits"
)

// A token is a string or scalar, or a part of one in which other bytes are allowed. After an
// error the scanner stays in it.
type token uint8

const (
	noToken token = iota
	inText
	inEscape
	inHex
	inNumber
	inLiteral
)

// begin begins a scalar.
func (s *valueScanner) begin(c byte) {
	switch s.token = inLiteral; c {
	case 't':
		s.rest = "rue"
	case 'f':
		s.rest = "alse"
	case 'n':
		s.rest = "ull"
	default:
		s.token, s.number = inNumber, numbers[numberStart][digitOf[c]]
	}
}

// stringEnd returns the index after a string of which all is there. Without the end, or with
// what has to be looked at more closely, it returns the index up to which it is well-formed
// and ok false.
func stringEnd(buf []byte, i int) (end int, ok bool) {
	for {
		i = textEnd(buf, i)
		switch {
		case i < len(buf) && buf[i] == '"':
			return i + 1, true
		case len(buf)-i < 2 || buf[i] != '\\' || !escapes[buf[i+1]]:
			return i, false
		}
		i += 2
	}
}

// escapes are the bytes of which one ends an escape.
var escapes = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// inToken goes on in a token and returns the index after it, with s.token cleared, or len(buf).
func (s *valueScanner) inToken(buf []byte, i int) (end int, err error) {
	for i < len(buf) {
		c := buf[i]
		switch s.token {
		case inText:
			if i = textEnd(buf, i); i == len(buf) {
				return i, nil
			}
			switch buf[i] {
			case '"':
				s.token = noToken
				return i + 1, nil
			case '\\':
				s.token = inEscape
			default:
				return i, invalid(buf[i], "in string literal")
			}
		case inEscape:
			if c != 'u' && !escapes[c] {
				return i, invalid(c, "in string escape code")
			}
			if s.token = inText; c == 'u' {
				s.token, s.hex = inHex, 4
			}
		case inHex:
			if !isHex(c) {
				return i, invalid(c, `in \u hexadecimal character escape`)
			}
			if s.hex--; s.hex == 0 {
				s.token = inText
			}
		default:
			return s.inScalar(buf, i)
		}
		i++
	}
	return i, nil
}

func isHex(c byte) bool { return c-'0' <= 9 || c|0x20-'a' <= 'f'-'a' }

// inScalar goes on in a number or literal, up to the byte after it.
func (s *valueScanner) inScalar(buf []byte, i int) (end int, err error) {
	if s.token == inNumber {
		return s.inDigits(buf, i)
	}
	for ; i < len(buf); i++ {
		switch c := buf[i]; {
		case s.rest == "":
			return i, s.endScalar(c)
		case s.rest[0] != c:
			return i, invalid(c, "in literal true, false or null")
		}
		s.rest = s.rest[1:]
	}
	return i, nil
}

func (s *valueScanner) inDigits(buf []byte, i int) (end int, err error) {
	number := s.number
	for ; i < len(buf); i++ {
		next := numbers[number%16][digitOf[buf[i]]%8]
		if next == 0 && !number.whole() {
			return i, invalid(buf[i], "in numeric literal")
		}
		if next == 0 {
			return i, s.endScalar(buf[i])
		}
		number = next
	}
	s.number = number
	return i, nil
}

// endScalar ends a scalar at c. One at the top that something follows at once, such as
// another digit, may be half of what was sent.
func (s *valueScanner) endScalar(c byte) error {
	if k := kindOf[c]; len(s.open) == 0 && (k == other || k == scalar) {
		return invalid(c, "after number or literal")
	}
	s.token = noToken
	return nil
}

// whole reports whether the value so far is one if nothing more follows.
func (s *valueScanner) whole() bool {
	return s.scalar && (s.token == inNumber && s.number.whole() || s.token == inLiteral && s.rest == "")
}

// A numberState is where in a number its last byte is.
type numberState uint8

const (
	numberStart numberState = iota + 1 // 0: the byte is not part of the number
	afterMinus
	afterZero
	inInteger
	afterPoint
	inFraction
	afterE
	afterSign
	inExponent
)

const (
	zero uint8 = iota + 1
	digit
	minus
	plus
	point
	exponent
)

// digitOf is what a byte means in a number.
var digitOf = [256]uint8{
	'0': zero, '1': digit, '2': digit, '3': digit, '4': digit, '5': digit, '6': digit, '7': digit, '8': digit,
	'9': digit, '-': minus, '+': plus, '.': point, 'e': exponent, 'E': exponent,
}

// numbers is the grammar of a number: the state after one more byte.
var numbers = [16][8]numberState{
	numberStart: {zero: afterZero, digit: inInteger, minus: afterMinus},
	afterMinus:  {zero: afterZero, digit: inInteger},
	afterZero:   {point: afterPoint, exponent: afterE},
	inInteger:   {zero: inInteger, digit: inInteger, point: afterPoint, exponent: afterE},
	afterPoint:  {zero: inFraction, digit: inFraction},
	inFraction:  {zero: inFraction, digit: inFraction, exponent: afterE},
	afterE:      {zero: inExponent, digit: inExponent, minus: afterSign, plus: afterSign},
	afterSign:   {zero: inExponent, digit: inExponent},
	inExponent:  {zero: inExponent, digit: inExponent},
}

// whole reports whether a number may end here.
func (n numberState) whole() bool {
	return n == afterZero || n == inInteger || n == inFraction || n == inExponent
}

// textEnd returns the index of the first byte in buf[i:] that is not plain text of a string:
// a quotation mark, a backslash or a control byte. Without one it is len(buf).
func textEnd(buf []byte, i int) int {
	for words := 1; len(buf)-i >= 8; words++ {
		if ends := textEnds(binary.LittleEndian.Uint64(buf[i:])); ends != 0 {
			return i + bits.TrailingZeros64(ends)/8
		}
		i += 8
		if words == 4 {
			i += textBlocks(buf[i:])
		}
	}
	for i < len(buf) && buf[i] >= ' ' && buf[i] != '"' && buf[i] != '\\' {
		i++
	}
	return i
}

const ones = 0x0101010101010101

// textEnds looks at eight bytes at once: the lowest bit that is set is in the first byte that
// is not plain text. It is the highest of a byte, where subtracting borrows: with 2 added or
// taken away, a quotation mark is the byte next to the control bytes.
func textEnds(x uint64) uint64 {
	return ((x ^ 2*ones - ('"'-1)*ones) | (x ^ '\\'*ones - ones)) &^ x & (0x80 * ones)
}

// textBlocks returns the length of the plain text that buf begins with, as far as it is whole
// blocks of 32 bytes.
func textBlocks(buf []byte) (n int) {
	le := binary.LittleEndian
	for ; len(buf) >= 32; buf = buf[32:] {
		a, b, c, d := le.Uint64(buf), le.Uint64(buf[8:]), le.Uint64(buf[16:]), le.Uint64(buf[24:])
		if textEnds(a)|textEnds(b)|textEnds(c)|textEnds(d) != 0 {
			break
		}
		n += 32
	}
	return n
}
