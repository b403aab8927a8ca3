package record

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

// Verbs of a recording.
const (
	// Outcomes of an attempt.
	verbOpen     = "open"
	verbStatus   = "status"   // a status of 400 or above
	verbProtocol = "protocol" // a response that is not a feed
	verbRefused  = "refused"  // no response

	// Messages.
	verbEvent     = "event"
	verbComment   = "comment"
	verbKeepalive = "keepalive"
	verbPosition  = "position"
	verbRetry     = "retry"

	// Ends of a connection.
	verbEOF    = "eof"
	verbCut    = "cut"
	verbClose  = "close"  // of a WebSocket, with a code
	verbSilent = "silent" // the consumer closed it because nothing came
	verbEnd    = "end"    // the feed is complete
	verbClosed = "closed" // the consumer closed it
)

// fieldsOf lists the fields that each verb allows.
var fieldsOf = map[string][]string{
	verbOpen:      {"after"},
	verbStatus:    {"code", "retry-after", "after"},
	verbProtocol:  {"after"},
	verbRefused:   {"after"},
	verbEvent:     {"id", "token", "type", "gap", "missed", "quoted"},
	verbComment:   {"gap", "missed", "quoted"},
	verbKeepalive: {"gap", "missed"},
	verbPosition:  {"id", "token", "gap", "missed"},
	verbRetry:     {"wait", "gap", "missed"},
	verbEOF:       {},
	verbCut:       {},
	verbClose:     {"code"},
	verbSilent:    {},
	verbEnd:       {},
	verbClosed:    {},
}

// verbOf maps kinds of messages to verbs.
var verbOf = map[decode.Kind]string{
	decode.KindData: verbEvent, decode.KindComment: verbComment, decode.KindKeepalive: verbKeepalive,
	decode.KindPosition: verbPosition, decode.KindRetry: verbRetry,
}

// An entry is one line of a recording, and the lines of its payload, each after a tab.
type entry struct {
	conn   int
	delay  time.Duration // since the entry before it
	verb   string
	fields []field
	data   []byte
}

// A field is written as name=value. The value is quoted if it is not a plain word, and empty
// for a field without one.
type field struct{ name, value string }

// set adds a field, unless the value is empty.
func (e *entry) set(name, value string) {
	if value != "" {
		e.fields = append(e.fields, field{name, value})
	}
}

// setPosition adds the id of a message, and its token if that is different.
func (e *entry) setPosition(m transport.Message) {
	e.set("id", m.ID)
	if m.Token != m.ID {
		e.fields = append(e.fields, field{"token", m.Token}) // even if it is empty
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

// describe returns the entry of a message.
func describe(m transport.Message) *entry {
	if m.Kind == decode.KindInvalid { // a replay treats it as a comment
		m.Kind = decode.KindComment
	}
	e := &entry{verb: verbOf[m.Kind]}
	switch m.Kind {
	case decode.KindData:
		e.setPosition(m)
		e.set("type", m.Type)
		e.data = m.Data
	case decode.KindComment:
		e.data = m.Data
	case decode.KindPosition:
		e.setPosition(m)
	case decode.KindRetry:
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

// isWord reports whether a value needs no quotes.
func isWord(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte("\"`'\\=#", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isPlain reports whether an editor and a version control system leave the lines unchanged:
// they are printable, not empty and have no space at the end.
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
