package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/steadfeed/steadfeed/decode"
)

func ndjsonFeed(size int) *feed {
	return newFeed(size, func(_ int, payload string) string { return payload + "\n" })
}

func ndjsonContest(size int) reading {
	f := ndjsonFeed(size)
	return reading{"NDJSON", size, f.wire(), []rival{
		{"steadfeed", func(n int, t *tally) error { return readFrames(f.stream(n), decode.NDJSON, t) }},
		{"steadfeed, lent", func(n int, t *tally) error { return readLent(f.stream(n), decode.NDJSON, t) }},
		{"bufio.Scanner", func(n int, t *tally) error { return readScanner(f.stream(n), t) }},
		{"floor", func(n int, t *tally) error { return floorOf(splitLine)(f.stream(n), t) }},
		{"Scanner, owned", func(n int, t *tally) error { return readScannerOwned(f.stream(n), t) }},
		{"jsontext", func(n int, t *tally) error { return readJSONText(f.stream(n), t) }},
		{"json.Decoder", func(n int, t *tally) error { return readJSON(f.stream(n), t) }},
	}}
}

// readScanner is the minimum that a program can do. The data is valid only until the next line,
// unlike that of steadfeed.
func readScanner(r io.Reader, t *tally) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxEvent)
	for s.Scan() {
		count(t, s.Bytes())
	}
	return s.Err()
}

// readScannerOwned uses bufio.Scanner in a program that keeps the data or passes it to another
// goroutine, as steadfeed allows.
func readScannerOwned(r io.Reader, t *tally) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxEvent)
	for s.Scan() {
		owned := bytes.Clone(s.Bytes())
		count(t, owned)
		t.latest = owned
	}
	return s.Err()
}

// readJSONText reads data that is valid only until the next value.
func readJSONText(r io.Reader, t *tally) error {
	for d := jsontext.NewDecoder(r); ; {
		v, err := d.ReadValue()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		count(t, []byte(v))
	}
}

func readJSON(r io.Reader, t *tally) error {
	for d := json.NewDecoder(r); ; {
		var v json.RawMessage
		err := d.Decode(&v)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		count(t, []byte(v))
	}
}
