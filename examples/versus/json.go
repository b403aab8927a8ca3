package main

import (
	"encoding/json"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/steadfeed/steadfeed/decode"
)

// Values are concatenated, as Kubernetes does.
func concatenatedContest(size int) reading {
	f := newFeed(size, func(_ int, payload string) string { return payload })
	return reading{"JSON values", size, f.wire(), []rival{
		{"steadfeed", func(n int, t *tally) error { return readFrames(f.stream(n), decode.ConcatJSON, t) }},
		{"json.Decoder", func(n int, t *tally) error { return readJSON(f.stream(n), t) }},
		{"jsontext", func(n int, t *tally) error { return readJSONText(f.stream(n), t) }},
	}}
}

// One array that lasts as long as the feed.
func arrayContest(size int) reading {
	f := newFeed(size, func(_ int, payload string) string { return "," + payload })
	f.head, f.tail = "[", "]"
	return reading{"JSON array", size, f.wire(), []rival{
		{"steadfeed", func(n int, t *tally) error { return readFrames(f.stream(n), decode.JSONArray, t) }},
		{"json.Decoder", func(n int, t *tally) error { return readJSONArray(f.stream(n), t) }},
		{"jsontext", func(n int, t *tally) error { return readJSONTextArray(f.stream(n), t) }},
	}}
}

func readJSONArray(r io.Reader, t *tally) error {
	d := json.NewDecoder(r)
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return err
		}
		count(t, []byte(v))
	}
	_, err := d.Token()
	return err
}

func readJSONTextArray(r io.Reader, t *tally) error {
	d := jsontext.NewDecoder(r)
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != jsontext.KindEndArray {
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		count(t, []byte(v))
	}
	_, err := d.ReadToken()
	return err
}
