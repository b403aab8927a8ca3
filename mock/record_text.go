package mock

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// recordingHeader is the first line of a recording.
const recordingHeader = "steadfeed recording 1"

// What can happen in a recording.
const (
	// The connection is there, or is not.
	verbOpen     = "open"
	verbStatus   = "status"   // an answer of 400 or above
	verbProtocol = "protocol" // an answer that is no feed
	verbRefused  = "refused"  // no answer

	// A message came.
	verbEvent     = "event"
	verbComment   = "comment"
	verbKeepalive = "keepalive"
	verbPosition  = "position"
	verbRetry     = "retry"

	// The connection is over.
	verbEOF    = "eof"
	verbCut    = "cut"
	verbClose  = "close"  // a WebSocket, with a code
	verbSilent = "silent" // it was given up because nothing came
	verbEnd    = "end"    // and so is the feed
	verbClosed = "closed" // the consumer did not want it any more
)

// fieldsOf are the fields that a line may have, by what it says.
var fieldsOf = map[string][]string{
	verbOpen:      {"after"},
	verbStatus:    {"code", "retry-after", "after"},
	verbProtocol:  {"after"},
	verbRefused:   {"after"},
	verbEvent:     {"id", "type", "gap", "missed", "quoted"},
	verbComment:   {"gap", "missed", "quoted"},
	verbKeepalive: {"gap", "missed"},
	verbPosition:  {"id", "gap", "missed"},
	verbRetry:     {"wait", "gap", "missed"},
	verbEOF:       {},
	verbCut:       {},
	verbClose:     {"code"},
	verbSilent:    {},
	verbEnd:       {},
	verbClosed:    {},
}

// verbOf is what a recording calls a message.
var verbOf = map[decode.Kind]string{
	decode.Data: verbEvent, decode.Comment: verbComment, decode.Keepalive: verbKeepalive,
	decode.Position: verbPosition, decode.Retry: verbRetry,
}

// An entry is one line of a recording, and the lines of the payload that follow it, each
// behind a tab.
type entry struct {
	conn   int
	delay  time.Duration // since the entry before it
	verb   string
	fields []field
	data   []byte
}

// A field is written name=value. The value is quoted if it is not a plain word; that of a
// field without one is empty.
type field struct{ name, value string }

// set adds a field, unless the value is empty.
func (e *entry) set(name, value string) {
	if value != "" {
		e.fields = append(e.fields, field{name, value})
	}
}

// get returns the value of a field, or the empty string.
func (e *entry) get(name string) string {
	for _, f := range e.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

func (e *entry) has(name string) bool {
	return slices.ContainsFunc(e.fields, func(f field) bool { return f.name == name })
}

// describe is the entry of a message.
func describe(m transport.Message) *entry {
	if m.Kind == decode.Invalid { // what it says is no more than a comment to a replay
		m.Kind = decode.Comment
	}
	e := &entry{verb: verbOf[m.Kind]}
	switch m.Kind {
	case decode.Data:
		e.set("id", m.ID)
		e.set("type", m.Type)
		e.data = m.Data
	case decode.Comment:
		e.data = m.Data
	case decode.Position:
		e.set("id", m.ID)
	case decode.Retry:
		e.set("wait", m.Delay.String())
	}
	if m.Gap != nil {
		e.set("gap", string(m.Gap.Reason))
		if m.Gap.Missed > 0 {
			e.set("missed", strconv.FormatUint(m.Gap.Missed, 10))
		}
	}
	return e
}

func (e *entry) append(b []byte) []byte {
	b = strconv.AppendInt(b, int64(e.conn), 10)
	b = append(append(append(b, ' '), e.delay.String()...), ' ')
	b = append(b, e.verb...)
	for _, f := range e.fields {
		b = append(append(append(b, ' '), f.name...), '=')
		if isWord(f.value) {
			b = append(b, f.value...)
		} else {
			b = strconv.AppendQuoteToASCII(b, f.value)
		}
	}
	if len(e.data) == 0 {
		return append(b, '\n')
	}
	if !isPlain(e.data) {
		b = append(b, " quoted\n\t"...)
		return append(strconv.AppendQuote(b, string(e.data)), '\n')
	}
	b = append(b, '\n')
	for line := range bytes.Lines(e.data) {
		b = append(append(b, '\t'), line...)
	}
	return append(b, '\n')
}

// isWord tells whether a value can do without quotes.
func isWord(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte("\"`'\\=#", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isPlain tells whether lines of text come through an editor and a version control
// system as they are: printable, none of them empty or with a space at its end.
func isPlain(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		unprintable := func(r rune) bool { return r != '\t' && !strconv.IsPrint(r) }
		if line == "" || strings.IndexFunc(line, unprintable) >= 0 || strings.TrimRight(line, " \t") != line {
			return false
		}
	}
	return true
}
