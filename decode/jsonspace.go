package decode

// jsonSpace skips the white space between JSON values. The first line end after a value ends its
// line; any other is a keepalive.
type jsonSpace struct {
	inLine bool // the line end of the last value has not been read
}

// skipSpace returns the length of the white space at the start of buf, up to a line end that is a
// keepalive. beat reports whether there is one.
func (g *jsonSpace) skipSpace(buf []byte) (n int, beat bool) {
	for n < len(buf) && isSpace(buf[n]) {
		n++
		if buf[n-1] == '\n' {
			if !g.inLine {
				return n, true
			}
			g.inLine = false
		}
	}
	return n, false
}
