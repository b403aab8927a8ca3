package main

import (
	"encoding/json"
	"io"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/steadfeed/steadfeed/decode"
)

// checking returns the contest of checking that each event is valid JSON and reading one field of
// it. "utf8.Valid" is a yardstick for the machine: it reads each byte once and looks for nothing.
func checking() []reading {
	const size = 1500
	f := ndjsonFeed(size)
	return []reading{{"JSON check and field", size, f.wire(), []rival{
		{"steadfeed StrictJSON", func(n int, t *tally) error { return readStrict(f.stream(n), t) }},
		{"steadfeed Field", func(n int, t *tally) error {
			return eachLine(f.stream(n), t, func(line []byte) bool { return decode.Field(line, strictPath) != "" })
		}},
		{"json.Valid, gjson", func(n int, t *tally) error {
			return eachLine(f.stream(n), t, func(line []byte) bool { return json.Valid(line) && gjson.GetBytes(line, strictPath).Exists() })
		}},
		{"encoding/json", func(n int, t *tally) error {
			return eachLine(f.stream(n), t, func(line []byte) bool {
				var v struct{ Kind string }
				return json.Unmarshal(line, &v) == nil && v.Kind != ""
			})
		}},
		{"utf8.Valid", func(n int, t *tally) error { return eachLine(f.stream(n), t, utf8.Valid) }},
	}}}
}

// strictPath is a field near the start of each event.
const strictPath = "kind"

func readStrict(r io.Reader, t *tally) error {
	frames := decode.NewReader(r, decode.StrictJSON(decode.NDJSON))
	frames.Borrow = true
	for f, err := range frames.Frames() {
		if err != nil {
			return err
		}
		if gjson.GetBytes(f.Data, strictPath).Exists() {
			count(t, f.Data)
		}
	}
	return nil
}

// eachLine counts the lines that look accepts.
func eachLine(r io.Reader, t *tally, look func([]byte) bool) error {
	frames := decode.NewReader(r, decode.NDJSON)
	frames.Borrow = true
	for f, err := range frames.Frames() {
		if err != nil {
			return err
		}
		if look(f.Data) {
			count(t, f.Data)
		}
	}
	return nil
}
