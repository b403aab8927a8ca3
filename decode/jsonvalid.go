package decode

import (
	"encoding/binary"
	"math/bits"

	"github.com/tidwall/gjson"
)

// valid reports whether data is one JSON value, with white space around it, as encoding/json does.
func valid(data []byte) bool {
	i := spaceEnd(data, 0)
	if i < len(data) && (data[i] == '{' || data[i] == '[') {
		return check(data, i, &search{})
	}
	return gjson.ValidBytes(data)
}

// check reports whether an object or array, and only white space after it, begins at data[i]. On
// the way it finds the value that s looks for.
//
// Unlike valueScanner it needs all of the value, so that each label is a place in the grammar
// instead of a state in memory. It is one function because calls for each string and number cost a
// quarter of the time.
func check(data []byte, i int, s *search) bool {
	var few [64]byte
	open := few[:0] // for each object and array that is open, what closes the one around it
	var closer byte
	var isKey bool
	var start int // of the last string
	t := texts{data: data}

value:
	if uint(i) >= uint(len(data)) {
		return false
	}
	switch c := data[i]; c {
	case '"':
		isKey = false
		goto text
	case '{', '[':
		if len(open) == maxDepth {
			return false
		}
		open = append(open, closer)
		closer = c + 2
		if i = spaceEnd(data, i+1); i == len(data) {
			return false
		}
		if data[i] == closer {
			goto end
		}
		if c == '{' {
			goto key
		}
		goto value
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if c == '-' {
			i++
		}
		first := i
		for uint(i) < uint(len(data)) && data[i]-'0' <= 9 {
			i++
		}
		if i == first || i > first+1 && data[first] == '0' || uint(i) >= uint(len(data)) {
			return false
		}
		if data[i] == '.' || data[i]|0x20 == 'e' {
			i = fractionEnd(data, i)
		}
		goto after
	case 't':
		if string(data[i:min(i+4, len(data))]) != "true" {
			return false
		}
		i += 4
		goto after
	case 'f':
		if string(data[i:min(i+5, len(data))]) != "false" {
			return false
		}
		i += 5
		goto after
	case 'n':
		if string(data[i:min(i+4, len(data))]) != "null" {
			return false
		}
		i += 4
		goto after
	case ' ', '\t', '\r', '\n':
		i = spaceEnd(data, i)
		goto value
	}
	return false

key:
	if uint(i) >= uint(len(data)) {
		return false
	}
	if data[i] != '"' {
		if i = spaceEnd(data, i); i == len(data) || data[i] != '"' {
			return false
		}
	}
	isKey = true

text:
	i++
	start = i
	for {
		var ends uint64
		if i < t.next {
			ends = t.ends >> (uint(i) % 64)
		}
		if ends != 0 {
			i += bits.TrailingZeros64(ends)
		} else {
			i = t.find(i)
		}
		if uint(i) >= uint(len(data)) {
			return false
		}
		if data[i] == '"' {
			break
		}
		if data[i] == '\\' && uint(i+1) < uint(len(data)) && escapes[data[i+1]] {
			i += 2
		} else if i = unusualEnd(data, i); i < 0 {
			return false
		}
	}
	i++
	if !isKey {
		goto after
	}
	if uint(i) >= uint(len(data)) {
		return false
	}
	if data[i] != ':' {
		if i = spaceEnd(data, i); i == len(data) || data[i] != ':' {
			return false
		}
	}
	i++
	if len(open) == s.depth {
		s.member(data, start, i)
	}
	goto value

after:
	if uint(i) >= uint(len(data)) {
		return false
	}
	if data[i] == ',' {
		i++
		if closer == '}' {
			goto key
		}
		goto value
	}
	if data[i] != closer {
		if !isSpace(data[i]) {
			return false
		}
		i = spaceEnd(data, i)
		goto after
	}

end:
	i++
	closer = open[len(open)-1]
	open = open[:len(open)-1]
	if len(open) < s.depth {
		s.leave()
	}
	if len(open) > 0 {
		goto after
	}
	return spaceEnd(data, i) == len(data)
}

func spaceEnd(data []byte, i int) int {
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	return i
}

// fractionEnd returns the index after the fraction and exponent of a number, or -1 if they are
// malformed.
func fractionEnd(data []byte, i int) int {
	if data[i] == '.' {
		first := i + 1
		if i = digitsEnd(data, first); i == first {
			return -1
		}
	}
	if i == len(data) || data[i]|0x20 != 'e' {
		return i
	}
	if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
		i++
	}
	first := i
	if i = digitsEnd(data, first); i == first {
		return -1
	}
	return i
}

// unusualEnd returns the index after a \u escape, or after plain text that texts took for an end.
// It returns -1 for bytes that a string may not contain.
func unusualEnd(data []byte, i int) int {
	if data[i] >= ' ' && data[i] != '\\' {
		return i + 1
	}
	if len(data)-i < 6 || string(data[i:i+2]) != `\u` {
		return -1
	}
	for _, c := range data[i+2 : i+6] {
		if !isHex(c) {
			return -1
		}
	}
	return i + 6
}

// texts finds the ends of texts, in blocks of 64 bytes. It looks at a block once for all strings
// in it: where strings are short, finding each one's end anew takes half of the time of check.
type texts struct {
	data []byte
	ends uint64 // a bit for each byte of a block that is not plain text
	next int    // index of the block after that one
}

// find returns the index of the first byte from data[i] on that may not be plain text, or an index
// after data if there is none. A plain byte after one that is not may also be found.
func (t *texts) find(i int) int {
	for t.next <= i {
		t.advance()
	}
	ends := t.ends >> (uint(i) % 64)
	for empty := 0; ends == 0; empty++ {
		if i = t.next; empty == 2 { // most texts are shorter
			t.next += plainText(t.data[min(i, len(t.data)):]) / 64 * 64
			i = t.next
		}
		t.advance()
		ends = t.ends
	}
	return i + bits.TrailingZeros64(ends)
}

func (t *texts) advance() {
	if len(t.data)-t.next >= 64 {
		t.ends = blockEnds((*[64]byte)(t.data[t.next:]))
	} else {
		var last [64]byte // a NUL ends texts
		copy(last[:], t.data[min(t.next, len(t.data)):])
		t.ends = blockEnds(&last)
	}
	t.next += 64
}

func blockEnds(b *[64]byte) uint64 {
	le := binary.LittleEndian
	return wordEnds(le.Uint64(b[0:])) | wordEnds(le.Uint64(b[8:]))<<8 |
		wordEnds(le.Uint64(b[16:]))<<16 | wordEnds(le.Uint64(b[24:]))<<24 |
		wordEnds(le.Uint64(b[32:]))<<32 | wordEnds(le.Uint64(b[40:]))<<40 |
		wordEnds(le.Uint64(b[48:]))<<48 | wordEnds(le.Uint64(b[56:]))<<56
}

// wordEnds returns textEnds with one bit for each byte. The multiplication moves the highest bits
// of the bytes next to each other.
func wordEnds(x uint64) uint64 { return textEnds(x) * 0x0002040810204081 >> 56 }
