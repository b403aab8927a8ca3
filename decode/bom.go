package decode

import "bytes"

// bom is the byte order mark of UTF-8.
var bom = []byte("\xef\xbb\xbf")

// A start is the beginning of a stream of text. Some producers put a byte order mark there,
// as .NET's Encoding.UTF8 does. SSE allows it; JSON forbids it to the sender and lets the
// receiver ignore it (RFC 8259, section 8.1).
type start struct{ begun bool }

// mark returns the length of the byte order mark in front of buf. wait means that more bytes
// are needed to know.
func (s *start) mark(buf []byte, atEOF bool) (n int, wait bool) {
	if len(buf) < len(bom) && bytes.HasPrefix(bom, buf) && !atEOF {
		return 0, true
	}
	s.begun = true
	if bytes.HasPrefix(buf, bom) {
		return len(bom), false
	}
	return 0, false
}
