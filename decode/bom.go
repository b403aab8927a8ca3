package decode

import "bytes"

// bom is the byte order mark of UTF-8.
var bom = []byte("\xef\xbb\xbf")

// A start skips a byte order mark at the start of a stream of text. Some senders write one, such as
// .NET's Encoding.UTF8. SSE allows it; in JSON, a sender must not add it, but a receiver may ignore
// it (RFC 8259, section 8.1).
type start struct{ begun bool }

// mark returns the length of the byte order mark at the start of buf, or 0. wait reports whether
// more bytes are needed to decide.
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
