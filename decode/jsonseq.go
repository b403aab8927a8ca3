package decode

import (
	"bytes"
	"errors"
)

// JSONSeq is the framing of JSON text sequences (RFC 7464): each value has a record separator, 0x1E,
// before it and a line feed after it. An object, array or string becomes a Frame at its closing
// byte. A number, true, false or null without white space after it may be incomplete and is an error
// (section 2.4); so is anything except white space after a value. An empty record, or an empty line
// between records, is a keepalive.
//
// A malformed record ends at the next record separator. Values are validated like those of
// ConcatJSON.
var JSONSeq Format = &framing{
	mediaTypes: []string{"application/json-seq"},
	splitter: func(maxFrame int) Splitter {
		return &seqSplitter{jsonValue: jsonValue{format: "JSONSeq", limit: maxFrame}}
	},
}

type seqSplitter struct {
	start
	jsonValue
	jsonSpace
	inRecord bool // after a record separator, before the end of its value
	junk     bool // bytes are skipped up to the next record separator
	searched int  // bytes searched for a record separator in the value
}

const recordSeparator = 0x1e

var (
	errJunk      = errors.New("not preceded by a record separator")
	errCutRecord = errors.New("cut short by the next record")
	errCutScalar = errors.New("not followed by white space, so it may be cut short")
)

func (s *seqSplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	if s.junk {
		if n = bytes.IndexByte(buf, recordSeparator); n < 0 {
			return len(buf), false, nil
		}
		s.junk = false
	}
	for !s.scan.begun {
		m, beat := s.skipSpace(buf[n:])
		n += m
		switch {
		case beat:
			f.Kind = KindKeepalive
			return n, true, nil
		case n == len(buf):
			return n, false, s.end(n, atEOF)
		case buf[n] != recordSeparator && s.inRecord:
			m, ok, err := s.record(f, buf[n:], atEOF)
			return n + m, ok, at(n, err)
		case buf[n] != recordSeparator:
			s.junk = true
			return n, false, at(n, &FrameError{Format: s.format, Resync: true, Err: errJunk})
		case s.inRecord: // the previous record was empty
			f.Kind = KindKeepalive
			return n + 1, true, nil
		}
		s.inRecord, s.inLine = true, true
		n++
	}
	return s.record(f, buf, atEOF)
}

// end returns the error of a stream that ends outside of a value, nil if it may.
func (s *seqSplitter) end(n int, atEOF bool) error {
	if !atEOF || n > 0 || !s.inRecord {
		return nil
	}
	return cutOff(s.format)
}

// record cuts the value at the start of buf. A record separator always ends it, because valid JSON
// does not contain one.
func (s *seqSplitter) record(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	text := buf
	next := bytes.IndexByte(buf[s.searched:], recordSeparator)
	if next >= 0 {
		text = buf[:s.searched+next]
	}
	s.searched = len(text)
	n, ok, err = s.cut(f, text)
	switch {
	case ok && isScalar(f.Data) && !isSpace(buf[n]):
		err = &FrameError{Format: s.format, Err: errCutScalar}
	case err == nil && !ok && next >= 0:
		err = &FrameError{Format: s.format, Err: errCutRecord}
	case err == nil && !ok && atEOF:
		return 0, false, cutOff(s.format)
	case err == nil && !ok:
		return 0, false, nil
	}
	s.searched, s.inRecord, s.inLine = 0, false, true
	if fe, bad := err.(*FrameError); bad {
		s.reset()
		s.junk, fe.Resync = true, true
		f.Data = nil
		return n, false, fe
	}
	return n, true, nil
}
