package decode

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// stringEnd returns the index after a string whose end is in buf. If the end is missing, or a
// byte needs a closer look, ok is false and end is the index up to which the string is
// well-formed. Most strings end in the first eight bytes, which it checks without a call.
func stringEnd(buf []byte, i int) (end int, ok bool) {
	for {
		if len(buf)-i < 8 {
			i = textEnd(buf, i)
		} else if ends := textEnds(binary.LittleEndian.Uint64(buf[i:])); ends != 0 {
			i += bits.TrailingZeros64(ends) / 8
		} else {
			i = textEnd(buf, i+8)
		}
		switch {
		case i < len(buf) && buf[i] == '"':
			return i + 1, true
		case len(buf)-i < 2 || buf[i] != '\\' || !escapes[buf[i+1]]:
			return i, false
		}
		i += 2
	}
}

// textEnd returns the index of the first byte in buf[i:] that is not plain text of a string:
// a quotation mark, a backslash or a control byte. Without one it is len(buf).
func textEnd(buf []byte, i int) int {
	for words := 1; len(buf)-i >= 8; words++ {
		if ends := textEnds(binary.LittleEndian.Uint64(buf[i:])); ends != 0 {
			return i + bits.TrailingZeros64(ends)/8
		}
		i += 8
		if words == 3 { // most texts are shorter
			i += plainText(buf[i:])
		}
	}
	for i < len(buf) && buf[i] >= ' ' && buf[i] != '"' && buf[i] != '\\' {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// textEnds checks eight bytes at once: its lowest set bit is in the first byte that is not
// plain text. That bit is the highest of a byte from which a subtraction borrows. Flipping
// bit 1 puts the quotation mark right after the control bytes, so that one subtraction finds
// both.
func textEnds(x uint64) uint64 {
	return ((x ^ 2*ones - ('"'-1)*ones) | (x ^ '\\'*ones - ones)) &^ x & highs
}

// controls sets the highest bit of control bytes, and of bytes from 0xa0 on, which &^ x clears.
func controls(x uint64) uint64 { return x - ' '*ones }

// plainText returns the length of a prefix of buf that is plain text, in blocks of 32 bytes.
// For a long text, IndexByte and a check for control bytes take less time than textEnds.
// The distance it looks ahead begins small and doubles, so that the work stays linear if the
// text ends early.
func plainText(buf []byte) (n int) {
	for ahead := 512; ; ahead *= 2 {
		text := buf[n:min(n+ahead, len(buf))]
		if q := bytes.IndexByte(text, '"'); q >= 0 {
			text = text[:q]
		}
		if q := bytes.IndexByte(text, '\\'); q >= 0 {
			text = text[:q]
		}
		m := printable(text)
		n += m
		if m < ahead {
			return n
		}
	}
}

// printable returns the length of a prefix of text without control bytes, in blocks of 32
// bytes. The first loop suffices for ASCII and takes half the instructions for each byte.
func printable(text []byte) (n int) {
	le := binary.LittleEndian
	for ; len(text)-n >= 64; n += 64 {
		b := (*[64]byte)(text[n:])
		low := controls(le.Uint64(b[:])) | controls(le.Uint64(b[8:])) | controls(le.Uint64(b[16:])) | controls(le.Uint64(b[24:]))
		low |= controls(le.Uint64(b[32:])) | controls(le.Uint64(b[40:])) | controls(le.Uint64(b[48:])) | controls(le.Uint64(b[56:]))
		if low&highs != 0 {
			break
		}
	}
	for ; len(text)-n >= 32; n += 32 {
		b := (*[32]byte)(text[n:])
		x, y, z, w := le.Uint64(b[:]), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:])
		if (controls(x)&^x|controls(y)&^y|controls(z)&^z|controls(w)&^w)&highs != 0 {
			break
		}
	}
	return n
}
