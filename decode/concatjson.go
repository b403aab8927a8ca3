package decode

import "io"

// ConcatJSON is the framing of JSON values one after the other, with white space between
// them or without, as Kubernetes' watch, etcd's gateway and grpc-gateway write them. An
// object, array or string is a Frame at its closing byte; a number, true, false or null
// ends where something else begins, and at the end of the stream it is a Frame with
// Truncated. An empty line between values is a Keepalive.
//
// A value is validated as encoding/json does it, which limits nesting to 10,000 levels. The
// first invalid byte is a FrameError and ends the stream, also with [Reader.OnBadFrame]:
// nothing marks where the next value begins, and a value that is cut short would hide those
// after it. A number or literal must be followed by white space, punctuation or a string.
// White space around values is not part of Data.
type ConcatJSON struct{}

func (ConcatJSON) MediaTypes() []string { return []string{"application/json"} }

func (ConcatJSON) NewSplitter(maxFrame int) Splitter {
	return &concatSplitter{jsonValue: jsonValue{format: "ConcatJSON", limit: maxFrame}}
}

type concatSplitter struct {
	start
	jsonValue
	gaps
}

func (s *concatSplitter) Split(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	n, ok, err = s.fill(&f, buf, atEOF)
	return n, f, ok, err
}

func (s *concatSplitter) fill(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	for {
		if !s.scan.begun {
			m, beat := s.pass(buf[n:])
			n += m
			if beat {
				f.Kind = Keepalive
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

// last is what the end of the stream makes of a value whose end has not come.
func (s *concatSplitter) last(f *Frame, buf []byte) (n int, ok bool, err error) {
	if s.skipping || !s.scan.whole() {
		return 0, false, s.failed(io.ErrUnexpectedEOF)
	}
	s.reset()
	f.Data, f.Truncated = buf[:len(buf):len(buf)], true
	return len(buf), true, nil
}
