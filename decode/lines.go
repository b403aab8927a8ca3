package decode

import "bytes"

// Lines is the framing of plain text: a frame is a line without its end, LF or CRLF.
// An empty line is a Keepalive. A last line without its end is a Frame with Truncated.
type Lines struct{}

func (Lines) MediaTypes() []string { return []string{"text/plain"} }

func (Lines) NewSplitter(maxFrame int) Splitter {
	return &lineSplitter{format: "Lines", limit: maxFrame, whole: func([]byte) bool { return true }}
}

type lineSplitter struct {
	format   string
	limit    int
	whole    func(line []byte) bool // whether a last line without its end is a frame
	looked   int                    // how far the line has been searched for its end
	skipping bool                   // behind an oversize line
}

func (s *lineSplitter) Split(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	end := bytes.IndexByte(buf[s.looked:], '\n')
	if end < 0 {
		return s.partial(buf, atEOF)
	}
	end += s.looked
	s.looked = 0
	if s.skipping {
		s.skipping = false
		return end + 1, f, false, nil
	}
	line := trimCR(buf[:end])
	if len(line) > s.limit {
		return end + 1, f, false, tooLarge(s.format, s.limit)
	}
	if len(line) == 0 {
		return end + 1, Frame{Kind: Keepalive}, true, nil
	}
	return end + 1, Frame{Data: line[:len(line):len(line)]}, true, nil
}

// partial deals with a line whose end is not there.
func (s *lineSplitter) partial(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	line := trimCR(buf)
	switch {
	case s.skipping:
		s.looked = 0
		return len(buf), f, false, nil
	case len(buf)-1 > s.limit, atEOF && len(line) > s.limit: // a CR may still turn out to be part of the end
		s.skipping, s.looked = true, 0
		return len(buf), f, false, tooLarge(s.format, s.limit)
	case !atEOF || len(buf) == 0:
		s.looked = len(buf)
		return 0, f, false, nil
	}
	s.looked = 0
	if len(line) > 0 && s.whole(line) {
		return len(buf), Frame{Data: line[:len(line):len(line)], Truncated: true}, true, nil
	}
	return 0, f, false, cutOff(s.format)
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}
