package decode_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// The references in this file follow the specifications and see the whole stream at once. Each is
// compared with its framing on random streams of the pieces that matter to it.

// referenceSSE interprets a stream line by line, as WHATWG HTML, section 9.2.6, requires.
func referenceSSE(in string) (got []string) {
	in = strings.TrimPrefix(in, "\ufeff")
	in = strings.ReplaceAll(in, "\r\n", "\n")
	lines := strings.Split(strings.ReplaceAll(in, "\r", "\n"), "\n")
	lines = lines[:len(lines)-1] // a line without its end is discarded

	var data, typ, id, last string
	for _, line := range lines {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			last = id
			if data != "" {
				name := typ
				if name == "" {
					name = "message"
				}
				got = append(got, fmt.Sprintf("%s %q after %q", name, strings.TrimSuffix(data, "\n"), last))
			}
			data, typ = "", ""
		case field == "data":
			data += value + "\n"
		case field == "event":
			typ = value
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		case field == "retry" && value != "" && strings.Trim(value, "0123456789") == "":
			n, _ := strconv.Atoi(value)
			got = append(got, fmt.Sprintf("retry %d", n))
		}
	}
	return append(got, "last id "+strconv.Quote(last))
}

// sse does the same with a Reader.
func sse(r io.Reader) (got []string) {
	last := ""
	for d := decode.NewReader(r, decode.SSE{}); ; {
		f, err := next(d)
		switch {
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return append(got, "last id "+strconv.Quote(last))
		case err != nil:
			return append(got, err.Error())
		case f.Kind == decode.KindPosition:
			last = f.ID
		case f.Kind == decode.KindRetry:
			got = append(got, fmt.Sprintf("retry %d", f.Delay.Milliseconds()))
		case f.Kind == decode.KindData:
			if f.ID != "" {
				last = f.ID
			}
			got = append(got, fmt.Sprintf("%s %q after %q", f.Type, f.Data, last))
		}
	}
}

// referenceConcat reads values with encoding/json.
func referenceConcat(in string) (got []string) {
	for d := json.NewDecoder(strings.NewReader(in)); ; {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return got
		}
		got = append(got, string(v))
	}
}

// referenceArray reads one array with encoding/json.
func referenceArray(in string) (got []string) {
	d := json.NewDecoder(strings.NewReader(in))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	for d.More() {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return got
		}
		got = append(got, string(v))
	}
	return got
}

// referenceSeq reads records as RFC 7464, section 2.4, requires, and skips malformed ones.
func referenceSeq(in string) (got []string) {
	records := strings.Split(in, "\x1e")
	for _, r := range records[1:] {
		var v json.RawMessage
		d := json.NewDecoder(strings.NewReader(r))
		if d.Decode(&v) != nil {
			continue
		}
		rest := strings.TrimLeft(r, " \t\r\n")[len(v):]
		scalar := strings.IndexByte(`{["`, v[0]) < 0
		if scalar && (rest == "" || strings.IndexByte(" \t\r\n", rest[0]) < 0) {
			continue
		}
		got = append(got, string(v))
	}
	return got
}

func referenceCRLF(in string) (got []string) {
	messages := strings.Split(in, "\r\n")
	for _, m := range messages[:len(messages)-1] {
		if m = strings.TrimLeft(m, " \n"); m != "" {
			got = append(got, m)
		}
	}
	return got
}

func referenceLines(in string) (got []string) {
	for line := range strings.Lines(in) {
		if line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"); line != "" {
			got = append(got, line)
		}
	}
	return got
}

// texts and scalars are valid JSON values; broken are not.
var (
	texts = []string{`{}`, `[]`, `""`, `{"a":1}`, `[1,"]",[{}]]`, `"\\"`, `"\\\""`, `{"}":"{\\"}`, `"\u007b"`, "\"\u00e9\"",
		"[\n\n]", "{ \"a\" :\r\n\r\n null }"}
	scalars = []string{"0", "-1.5e+3", "true", "false", "null", "1234567890"}
	broken  = []string{"{", "]", `"`, `\`, "nul", "1-", ",", "01", "{]", "x"}
	spaces  = []string{" ", "\n", "\r\n", "\t", " \n\n"}
)

func pick(rng *rand.Rand, from ...[]string) string {
	all := slices.Concat(from...)
	return all[rng.IntN(len(all))]
}

// maybe returns some white space or none.
func maybe(rng *rand.Rand) string { return pick(rng, spaces, []string{"", "", ""}) }

// assemble returns a stream of random pieces.
func assemble(rng *rand.Rand, pieces ...string) string {
	var b strings.Builder
	for range 1 + rng.IntN(20) {
		b.WriteString(pieces[rng.IntN(len(pieces))])
	}
	return b.String()
}

func concatenated(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(8) {
		b.WriteString(maybe(rng) + pick(rng, texts))
		if rng.IntN(3) == 0 {
			b.WriteString(maybe(rng) + pick(rng, scalars) + pick(rng, spaces))
		}
	}
	return b.String()
}

func array(rng *rand.Rand) string {
	var values []string
	for range rng.IntN(8) {
		values = append(values, maybe(rng)+pick(rng, texts, scalars)+maybe(rng))
	}
	return maybe(rng) + "[" + strings.Join(values, ",") + "]" + maybe(rng)
}

func sequence(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(8) {
		b.WriteString("\x1e" + maybe(rng) + pick(rng, texts, scalars, broken, []string{""}) + maybe(rng))
		if rng.IntN(4) == 0 {
			b.WriteString(pick(rng, texts, broken, scalars))
		}
	}
	return b.String()
}

// values reads events and skips bad frames.
func values(f decode.Format) func(io.Reader) []string {
	return func(r io.Reader) (got []string) {
		d := decode.NewReader(r, f)
		d.OnBadFrame = func(*decode.FrameError) {}
		for f, err := range d.Frames() {
			if err != nil {
				break
			}
			got = append(got, string(f.Data))
		}
		return got
	}
}

func TestReferences(t *testing.T) {
	for name, c := range map[string]struct {
		stream    func(*rand.Rand) string
		reference func(string) []string
		read      func(io.Reader) []string
	}{
		"SSE": {func(rng *rand.Rand) string {
			return pick(rng, []string{"", "\ufeff"}) + assemble(rng, "data: x\n", "data:y\r", "id: 7\r\n", "data: z\n\n", "data: w\r\n\r\n", "event: f\n", "data", "data:", "data: ", "id", "id:", "id: ", "event:", "event: e", "retry:", "retry: 15",
				":", " ", "x", "7", "\x00", "\n", "\n", "\n\n", "\r", "\r\n", "\r\n\r\n", "\ufeff", "Data:", "+", "\u2026", "\xff")
		}, referenceSSE, sse},
		"Lines": {func(rng *rand.Rand) string {
			return assemble(rng, "a", " ", "\n", "\r", "\r\n", "{}", "\x00")
		}, referenceLines, values(decode.Lines)},
		"CRLFJSON": {func(rng *rand.Rand) string {
			return assemble(rng, "{", "}", " ", "\n", "\r", "\r\n", "\r\n", "1")
		}, referenceCRLF, values(decode.CRLFJSON)},
		"ConcatJSON": {concatenated, referenceConcat, values(decode.ConcatJSON)},
		"JSONArray":  {array, referenceArray, values(decode.JSONArray)},
		"JSONSeq":    {sequence, referenceSeq, values(decode.StrictJSON(decode.JSONSeq))},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, 7))
			several := 0
			for range rounds {
				in := c.stream(rng)
				want := c.reference(in)
				for _, r := range []io.Reader{strings.NewReader(in), chunks(in, rng.IntN(4))} {
					if got := c.read(r); !slices.Equal(got, want) {
						t.Fatalf("%q:\n got %q\nwant %q", in, got, want)
					}
				}
				if len(want) > 2 {
					several++
				}
			}
			if several < rounds/20 {
				t.Errorf("got %d of %d streams with several events, want at least a twentieth", several, rounds)
			}
		})
	}
}

const rounds = 2000
