package decode

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

// begin starts a scalar at c.
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

// escapes holds the bytes that end an escape of two bytes.
var escapes = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// inToken continues in a token and returns the index after it, with s.token cleared, or len(buf).
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

// scalarEnd returns the index after a number or literal inside of an object or array. For one
// that is malformed, may continue after buf or has an exponent, ok is false.
func scalarEnd(buf []byte, i int) (end int, ok bool) {
	switch c := buf[i]; c {
	case 't':
		return i + 4, len(buf)-i >= 4 && string(buf[i:i+4]) == "true"
	case 'f':
		return i + 5, len(buf)-i >= 5 && string(buf[i:i+5]) == "false"
	case 'n':
		return i + 4, len(buf)-i >= 4 && string(buf[i:i+4]) == "null"
	case '-':
		i++
	}
	end = digitsEnd(buf, i)
	if end == i || buf[i] == '0' && end > i+1 {
		return 0, false
	}
	if end < len(buf) && buf[end] == '.' {
		i = end + 1
		if end = digitsEnd(buf, i); end == i {
			return 0, false
		}
	}
	return end, end < len(buf) && buf[end]|0x20 != 'e'
}

func digitsEnd(buf []byte, i int) int {
	for i < len(buf) && buf[i]-'0' <= 9 {
		i++
	}
	return i
}

// inScalar continues in a number or literal, up to the byte after it.
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

// endScalar ends a scalar at c. At the top level, a scalar that is directly followed by another
// scalar, such as a digit, or by an invalid byte may be incomplete and is an error.
func (s *valueScanner) endScalar(c byte) error {
	if k := kindOf[c]; len(s.open) == 0 && (k == other || k == scalar) {
		return invalid(c, "after number or literal")
	}
	s.token = noToken
	return nil
}

// whole reports whether the value so far is complete if nothing more follows.
func (s *valueScanner) whole() bool {
	return s.scalar && (s.token == inNumber && s.number.whole() || s.token == inLiteral && s.rest == "")
}

// A numberState is the place of the last byte in a number.
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

// digitOf is the meaning of a byte in a number.
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
