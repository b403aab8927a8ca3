package decode

import "io"

// ConcatJSON is the framing of JSON values that follow each other, with or without white space
// between them, as the watches of Kubernetes, etcd's gateway and grpc-gateway write them. An
// object, array or string becomes a Frame at its closing byte. A number, true, false or null ends
// at the first byte after it; at the end of the stream it is a Frame with Truncated set. An empty
// line between values is a keepalive. White space around values is not part of Data.
//
// Values are validated as encoding/json does, which limits nesting to 10,000 levels. A number or
// literal must be followed by white space, punctuation or a string. The first invalid byte is a
// FrameError and ends the stream, even with [Reader.OnBadFrame]: nothing marks the start of the
// next value, and an incomplete value would hide those after it.
var ConcatJSON Format = &framing{
	mediaTypes: []string{"application/json"},
	splitter: func(maxFrame int) Splitter {
		return &concatSplitter{jsonValue: jsonValue{format: "ConcatJSON", limit: maxFrame}}
	},
}

type concatSplitter struct {
	start
	jsonValue
	jsonSpace
}

func (s *concatSplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	for {
		if !s.scan.begun {
			m, beat := s.skipSpace(buf[n:])
			n += m
			if beat {
				f.Kind = KindKeepalive
			}
			if beat || n == len(buf) {
				return n, beat, nil
			}
			s.inLine = true
		}
		m, ok, err := s.cut(f, buf[n:])
		if atEOF && s.scan.begun && m == 0 {
			m, ok, err = s.last(f, buf[n:])
		}
		if ok || err != nil || s.scan.begun {
			return n + m, ok, at(n, err)
		}
		n += m
	}
}

// last handles a value that has not ended at the end of the stream.
func (s *concatSplitter) last(f *Frame, buf []byte) (n int, ok bool, err error) {
	if s.skipping || !s.scan.whole() {
		return 0, false, s.failed(io.ErrUnexpectedEOF)
	}
	s.reset()
	f.Data, f.Truncated = buf[:len(buf):len(buf)], true
	return len(buf), true, nil
}
