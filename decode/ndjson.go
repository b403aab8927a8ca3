package decode

import (
	"bytes"
	"strings"
)

// NDJSON is newline-delimited JSON, one value on each line (github.com/ndjson/ndjson-spec):
// a line ends with LF or CRLF. An empty line is a Keepalive. A last line without its end
// is a frame if it is a valid object, array or string, and otherwise
// io.ErrUnexpectedEOF. Lines are not validated: a line that is not JSON is
// the receiver's to report, and does not affect the next one.
type NDJSON struct{}

func (NDJSON) MediaTypes() []string {
	return []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines", "application/stream+json"}
}

func (NDJSON) NewSplitter(maxFrame int) Splitter {
	return &lineSplitter{format: "NDJSON", limit: maxFrame, end: '\n', closed: delimitsItself}
}

// delimitsItself tells whether line is JSON that cannot be the beginning of other JSON.
func delimitsItself(line []byte) bool {
	text := bytes.TrimLeft(line, " \t\r")
	return len(text) > 0 && strings.IndexByte(`{["`, text[0]) >= 0 && valid(text)
}
