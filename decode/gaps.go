package decode

// gaps is the white space between JSON values. The first line end behind a value
// is taken as the end of its line; any other is a keepalive.
type gaps struct {
	inLine bool // a value without its line end has come
}

// pass returns how much of buf is space, up to a line end that is a keepalive.
func (g *gaps) pass(buf []byte) (n int, beat bool) {
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
