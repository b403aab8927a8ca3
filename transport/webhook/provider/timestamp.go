package provider

import (
	"errors"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// A Timestamp describes where a delivery has the time of its signature, and how old that may
// be. The time is verified as the text that was received: a different spelling of the same
// time does not match.
type Timestamp struct {
	Header string // the header with it; or
	Prefix string // what precedes it in the list of Signature.Header, such as "t="; or
	Path   string // its gjson path in the body

	// Unit is the unit of a number, counted from 1970: time.Second or time.Millisecond.
	// Default: time.Second.
	Unit time.Duration

	// Layout is the format of a time that is not a number, as in package time. Default: a
	// number.
	Layout string

	// Tolerance is the maximum distance from the time of receipt, in the past or the future.
	// Negative: no limit. Default: 5 min.
	Tolerance time.Duration
}

// day is the Tolerance for senders that repeat a delivery with its first signature.
const day = 24 * time.Hour

// complete sets the defaults and reports invalid fields.
func (t *Timestamp) complete() error {
	places := 0
	for _, at := range []string{t.Header, t.Prefix, t.Path} {
		if at != "" {
			places++
		}
	}
	if places != 1 && *t != (Timestamp{}) {
		return errors.New("Timestamp needs one of Header, Prefix and Path")
	}
	if t.Unit == 0 {
		t.Unit = time.Second
	}
	if t.Unit != time.Second && t.Unit != time.Millisecond {
		return errors.New("Timestamp.Unit must be time.Second or time.Millisecond")
	}
	if t.Tolerance == 0 {
		t.Tolerance = 5 * time.Minute
	}
	t.Header = textproto.CanonicalMIMEHeaderKey(t.Header)
	return nil
}

// check refuses a text that is not a time, and a time outside the Tolerance.
func (t *Timestamp) check(text string, now time.Time) error {
	at, ok := t.parse(text)
	if !ok {
		return malformed("the timestamp is malformed")
	}
	if off := now.Sub(at).Abs(); t.Tolerance >= 0 && off > t.Tolerance {
		return forged()
	}
	return nil
}

func (t *Timestamp) parse(text string) (time.Time, bool) {
	if t.Layout != "" {
		at, err := time.Parse(t.Layout, text)
		return at, err == nil
	}
	most, least := 11, 1
	if t.Unit == time.Millisecond {
		most, least = 13, 12 // 12 digits until 2001: the clock of a synctest bubble starts in 2000
	}
	if len(text) < least || len(text) > most || text[0] == '0' {
		return time.Time{}, false
	}
	var n int64
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return time.Time{}, false
		}
		n = 10*n + int64(text[i]-'0')
	}
	if t.Unit == time.Millisecond {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}

func (t *Timestamp) format(at time.Time) string {
	switch {
	case t.Layout != "":
		return at.UTC().Format(t.Layout)
	case t.Unit == time.Millisecond:
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// inBody checks the time in a verified body.
func (t *Timestamp) inBody(body []byte, now time.Time) error {
	text := decode.Field(body, t.Path)
	if text == "" {
		return malformed("no %s in the body", t.Path)
	}
	return t.check(text, now)
}

// write inserts the time into a JSON object as its first field, because the first of two
// fields with the same name counts.
func (t *Timestamp) write(body []byte, now time.Time) ([]byte, error) {
	text := strings.TrimLeft(string(body), " \t\r\n")
	rest, ok := strings.CutPrefix(text, "{")
	if !ok || t.Layout != "" || !harmless(t.Path, "") || strings.Contains(t.Path, ".") {
		return nil, malformed("the timestamp can only be written as a number into the top level of a JSON object")
	}
	if !strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), "}") {
		rest = "," + rest
	}
	return []byte(`{"` + t.Path + `":` + t.format(now) + rest), nil
}
