package decode

import "bytes"

// CRLFJSON is the framing of X, formerly Twitter: only CRLF ends a message. An LF or a CR inside a
// message is data (docs.x.com/x-api/fundamentals/consuming-streaming-data). An empty message is a
// keepalive, and so is an LF before a message, because some keepalives are a single LF. Spaces
// before a message are dropped. Messages are not validated.
var CRLFJSON Format = &framing{
	mediaTypes: []string{"application/json"},
	splitter: func(maxFrame int) Splitter {
		return &crlfSplitter{limit: maxFrame}
	},
}

type crlfSplitter struct {
	start
	limit    int
	looked   int  // bytes searched for the end of the message; zero before its first byte
	skipping bool // in the rest of an oversize message
	dropped  int  // bytes of that message consumed
}

var crlf = []byte("\r\n")

func (s *crlfSplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	if s.looked == 0 && !s.skipping {
		if n, beat := s.lead(buf); n > 0 {
			if beat {
				f.Kind = KindKeepalive
			}
			return n, beat, nil
		}
	}
	from := max(s.looked-1, 0) // a CR there may be half of the end
	end := bytes.Index(buf[from:], crlf)
	if end < 0 {
		return s.partial(buf, atEOF)
	}
	end += from
	s.looked = 0
	switch {
	case s.skipping:
		s.skipping = false
		return end + 2, false, nil
	case end > s.limit:
		return end + 2, false, tooLarge("CRLFJSON", s.limit)
	case end == 0:
		f.Kind = KindKeepalive
		return 2, true, nil
	}
	f.Data = buf[:end:end]
	return end + 2, true, nil
}

// lead returns the length of the spaces before a message, and of an LF after them. beat reports
// whether there is an LF, which is a keepalive.
func (s *crlfSplitter) lead(buf []byte) (n int, beat bool) {
	for n < len(buf) && buf[n] == ' ' {
		n++
	}
	if n < len(buf) && buf[n] == '\n' {
		return n + 1, true
	}
	return n, false
}

// partial handles a message whose end is not in buf.
func (s *crlfSplitter) partial(buf []byte, atEOF bool) (n int, ok bool, err error) {
	half := len(buf) - len(trimCR(buf)) // 1 if the last byte may be half of the end
	switch {
	case s.skipping && atEOF:
		return 0, false, at(-s.dropped, cutOff("CRLFJSON"))
	case s.skipping:
		s.dropped += len(buf) - half
		return len(buf) - half, false, nil
	case len(buf)-half > s.limit:
		s.skipping, s.looked, s.dropped = true, 0, len(buf)-half
		return len(buf) - half, false, tooLarge("CRLFJSON", s.limit)
	case atEOF && len(buf) > 0:
		return 0, false, cutOff("CRLFJSON")
	}
	s.looked = len(buf)
	return 0, false, nil
}
