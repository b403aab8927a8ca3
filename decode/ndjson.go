package decode

import (
	"bytes"
	"io"
	"strings"

	"github.com/tidwall/gjson"
)

// NDJSON is newline-delimited JSON, one value on each line (github.com/ndjson/ndjson-spec):
// a line ends with LF or CRLF. An empty line is a Keepalive. A last line without its end
// is a Frame with Truncated if it is a valid object, array or string, and otherwise
// io.ErrUnexpectedEOF. Lines are not validated: a line that is not JSON is
// the receiver's to report, and does not affect the next one.
type NDJSON struct{}

func (NDJSON) MediaTypes() []string {
	return []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
}

func (NDJSON) NewSplitter(maxFrame int) Splitter { return &lineSplitter{limit: maxFrame} }

type lineSplitter struct {
	limit    int
	looked   int  // how far the line has been searched for its end
	skipping bool // behind an oversize line
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
		return end + 1, f, false, s.tooLarge()
	}
	if len(line) == 0 {
		return end + 1, Frame{Kind: Keepalive}, true, nil
	}
	return end + 1, Frame{Data: line[:len(line):len(line)]}, true, nil
}

// partial deals with a line whose end is not there.
func (s *lineSplitter) partial(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	switch {
	case s.skipping:
		s.looked = 0
		return len(buf), f, false, nil
	case len(buf)-1 > s.limit: // a CR may still turn out to be part of the end
		s.skipping, s.looked = true, 0
		return len(buf), f, false, s.tooLarge()
	case !atEOF || len(buf) == 0:
		s.looked = len(buf)
		return 0, f, false, nil
	}
	s.looked = 0
	line := trimCR(buf)
	if len(line) > 0 && strings.IndexByte(`{["`, line[0]) >= 0 && gjson.ValidBytes(line) {
		return len(buf), Frame{Data: line[:len(line):len(line)], Truncated: true}, true, nil
	}
	return 0, f, false, &FrameError{Format: "NDJSON", Err: io.ErrUnexpectedEOF}
}

func (s *lineSplitter) tooLarge() error {
	return &FrameError{Format: "NDJSON", Limit: s.limit, Resync: true, Err: ErrTooLarge}
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}
