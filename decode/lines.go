package decode

import "bytes"

// Lines is the framing of plain text: a frame is a line without its end, LF or CRLF. An empty line
// is a keepalive. A byte order mark before the first line is skipped. A last line without its end is
// a Frame with Truncated set.
var Lines Format = &framing{
	mediaTypes: []string{"text/plain"},
	splitter: func(maxFrame int) Splitter {
		return &lineSplitter{format: "Lines", limit: maxFrame, end: '\n'}
	},
}

type lineSplitter struct {
	start
	format   string
	limit    int
	end      byte                   // of a line
	closed   func(line []byte) bool // whether a last line is complete without its end; nil: unknown
	looked   int                    // bytes of the line searched for its end
	skipping bool                   // in the rest of an oversize line
}

func (s *lineSplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	end := bytes.IndexByte(buf[s.looked:], s.end)
	if end < 0 {
		return s.partial(f, buf, atEOF)
	}
	end += s.looked
	s.looked = 0
	if s.skipping {
		s.skipping = false
		return end + 1, false, nil
	}
	line := s.trim(buf[:end])
	if len(line) > s.limit {
		return end + 1, false, tooLarge(s.format, s.limit)
	}
	if len(line) == 0 {
		f.Kind = KindKeepalive
		return end + 1, true, nil
	}
	f.Data = line[:len(line):len(line)]
	return end + 1, true, nil
}

// partial handles a line whose end is not in buf.
func (s *lineSplitter) partial(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	line := s.trim(buf)
	switch {
	case s.skipping:
		s.looked = 0
		return len(buf), false, nil
	case len(buf)-1 > s.limit, atEOF && len(line) > s.limit: // a CR may be part of the end
		s.skipping, s.looked = true, 0
		return len(buf), false, tooLarge(s.format, s.limit)
	case !atEOF || len(buf) == 0:
		s.looked = len(buf)
		return 0, false, nil
	}
	s.looked = 0
	if len(line) == 0 || s.closed != nil && !s.closed(line) {
		return 0, false, cutOff(s.format)
	}
	f.Data, f.Truncated = line[:len(line):len(line)], s.closed == nil
	return len(buf), true, nil
}

// trim removes the CR of a CRLF.
func (s *lineSplitter) trim(line []byte) []byte {
	if s.end != '\n' {
		return line
	}
	return trimCR(line)
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}
