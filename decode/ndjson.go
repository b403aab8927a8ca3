package decode

import (
	"bytes"
	"strings"
)

// NDJSON is the framing of newline-delimited JSON, one value on each line
// (github.com/ndjson/ndjson-spec). A line ends with LF or CRLF. An empty line is a keepalive. A last
// line without its end is a Frame if it is a valid object, array or string, and otherwise
// io.ErrUnexpectedEOF. Other lines are not validated: one that is not JSON is a Frame, too, and does
// not affect the next one.
var NDJSON Format = &framing{
	mediaTypes: []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines", "application/stream+json"},
	splitter: func(maxFrame int) Splitter {
		return &lineSplitter{format: "NDJSON", limit: maxFrame, end: '\n', closed: delimitsItself}
	},
}

// delimitsItself reports whether line is a JSON value that cannot be the start of a longer one.
func delimitsItself(line []byte) bool {
	text := bytes.TrimLeft(line, " \t\r")
	return len(text) > 0 && strings.IndexByte(`{["`, text[0]) >= 0 && valid(text)
}
