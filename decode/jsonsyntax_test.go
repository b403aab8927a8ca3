package decode_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/steadfeed/steadfeed/decode"
)

// A syntax is the result of a parser of concatenated values.
type syntax struct {
	values []string
	after  int // bytes read when it reported a syntax error; 0 without one
	err    error
}

// ourSyntax reads in byte by byte.
func ourSyntax(in string, f decode.Format) syntax {
	src := strings.NewReader(in)
	return syntaxOf(in, src, newReader(iotest.OneByteReader(src), f, -1))
}

func syntaxOf(in string, src *strings.Reader, d *decode.Reader) (got syntax) {
	for {
		frame, err := next(d)
		var bad *decode.FrameError
		switch {
		case errors.As(err, &bad) && bad.Protocol():
			got.after, got.err = len(in)-src.Len(), err
			return got
		case err != nil:
			return got
		case frame.Kind == decode.KindData:
			got.values = append(got.values, string(frame.Data))
		}
	}
}

// theirSyntax does the same with encoding/json.
func theirSyntax(in string) (got syntax) {
	src := strings.NewReader(in)
	d := json.NewDecoder(iotest.OneByteReader(src))
	for {
		var v json.RawMessage
		err := d.Decode(&v)
		var bad *json.SyntaxError
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return got
		case errors.As(err, &bad):
			got.after, got.err = len(in)-src.Len(), err
			return got
		case err != nil:
			return got
		}
		got.values = append(got.values, string(v))
	}
}

// checkSyntax checks that ConcatJSON finds a syntax error at the same byte as encoding/json and
// delivers the same values before it, in one read and byte by byte. There are two differences. Where
// a number or literal is followed at once by another, encoding/json finds two values, and ConcatJSON
// an error. Since Go 1.27, encoding/json reads further after a comma or colon between values before
// it reports it.
func checkSyntax(t *testing.T, in string) {
	t.Helper()
	if strings.HasPrefix(in, "\xef") {
		return // ConcatJSON waits for the rest of a byte order mark
	}
	ours, theirs := ourSyntax(in, decode.ConcatJSON), theirSyntax(in)
	src := strings.NewReader(in)
	atOnce := syntaxOf(in, src, newReader(src, decode.ConcatJSON, -1))
	if !slices.Equal(atOnce.values, ours.values) || fmt.Sprint(atOnce.err) != fmt.Sprint(ours.err) {
		t.Errorf("%q in one read:\n got %q, %v\nwant %q, %v", in, atOnce.values, atOnce.err, ours.values, ours.err)
	}
	if ours.err != nil && strings.Contains(ours.err.Error(), "after number or literal") {
		if len(ours.values) > len(theirs.values) || !slices.Equal(ours.values, theirs.values[:len(ours.values)]) {
			t.Errorf("%q: %q before %v\nwant %q", in, ours.values, ours.err, theirs.values)
		}
		return
	}
	if ours.after > 0 && strings.IndexByte(",:", in[ours.after-1]) >= 0 && strings.Contains(ours.err.Error(), "beginning of value") &&
		(theirs.err == nil || theirs.after > ours.after) {
		theirs.after = ours.after
	}
	if ours.after != theirs.after || !slices.Equal(ours.values, theirs.values) {
		t.Errorf("%q:\n got %q, error after %d: %v\nwant %q, error after %d: %v", in, ours.values, ours.after, ours.err, theirs.values, theirs.after, theirs.err)
	}
}

func TestSyntax(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	pieces := []string{"{", "}", "[", "]", ",", ":", `"`, `"a"`, `"\u00`, "e9", `\`, "\\\"", "-", "0", "12", ".", "e", "E+", "true", "fal", "se", "null",
		" ", "\n", "\x00", "\x1f", "\x7f", "\xff", "é", `{"a":`, `[1,`, `"12345678`, `12345678"`}
	bad := 0
	for range rounds {
		in := assemble(rng, pieces...)
		if checkSyntax(t, in); theirSyntax(in).err != nil {
			bad++
		}
		broken := []byte(concatenated(rng))
		for range min(len(broken), 1+rng.IntN(2)) { // valid except for a byte or two
			broken[rng.IntN(len(broken))] = pick(rng, pieces)[0]
		}
		checkSyntax(t, string(broken))
	}
	if bad < rounds/2 {
		t.Errorf("got %d malformed streams of %d, want at least half", bad, rounds)
	}
}

// TestTextBytes puts each byte at each place of a word into a string, and the bytes around those that
// are not plain text at each place of a block.
func TestTextBytes(t *testing.T) {
	for c := range 256 {
		places := 17
		if strings.IndexByte("\x00\x1f !\"#[\\]\x7f\x80\x9f\xa0\xff", byte(c)) >= 0 {
			places = 80
		}
		for n := range places {
			checkSyntax(t, `["`+strings.Repeat("x", n)+string([]byte{byte(c)})+`yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"] 1`)
		}
	}
}

// TestLongText puts the end of a string, or a malformed byte, after texts of many lengths.
func TestLongText(t *testing.T) {
	for _, filler := range []string{"x", "é", "\x80", "\xff\x9f", "lorem ipsum é "} {
		text := strings.Repeat(filler, 2000)[:2000]
		for n := 0; n < 1700; n += 1 + n/128 { // up to the third look ahead
			for _, bad := range []string{"\x00", "\x1f", `\x`} {
				in := `"` + text[:n] + bad + text[n:n+80] + `"`
				_, err := next(decode.NewReader(strings.NewReader(in), decode.ConcatJSON))
				if want := fmt.Sprintf("at byte %d of the value", n+len(bad)); err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Fatalf("%q after %d bytes of %q: got error %v, want one %s", bad, n, filler, err, want)
				}
			}
			for _, end := range []string{`"`, `\""`, `\u00e9"`} {
				in := `"` + text[:n] + end
				f, err := next(decode.NewReader(strings.NewReader(in+text), decode.ConcatJSON))
				if err != nil || string(f.Data) != in {
					t.Fatalf("%d bytes of %q and %s: got a value of %d bytes, error %v, want %d bytes", n, filler, end, len(f.Data), err, len(in))
				}
			}
		}
	}
}

func FuzzSyntax(f *testing.F) {
	for _, s := range slices.Concat(texts, scalars, broken) {
		f.Add(s + " {\"a\":[" + s + ",\"\\u00e9\\n\"]}" + s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		checkSyntax(t, in)
		if strings.HasPrefix(in, "\xef") {
			return
		}
		for _, limit := range []int{0, 8} { // in large reads, and with a value over the limit
			d := newReader(strings.NewReader(in), decode.ConcatJSON, limit)
			d.OnBadFrame = func(*decode.FrameError) {}
			_, err := readAll(d)
			var e *decode.FrameError
			malformed := errors.As(err, &e) && e.Protocol()
			if want := ourSyntax(in, decode.ConcatJSON).err; malformed != (want != nil) {
				t.Errorf("%q with limit %d: got error %v, want %v", in, limit, err, want)
			}
		}
	})
}

// TestUnclosedValue reads a stream in which one value is cut short and more follow. One of those is
// the error, also with OnBadFrame and above the limit. (Only an unclosed array inside JSONArray hides
// it, because its elements look like those of the outer array, also to encoding/json.)
func TestUnclosedValue(t *testing.T) {
	const event = `{"type":"ADDED","object":{"metadata":{"resourceVersion":"7"},"n":{"b":"\u00e9","c":-1.5e3}}}` + "\n"
	for cut := 1; cut < len(event)-1; cut++ {
		for _, maxFrame := range []int{0, 200, 20} {
			for name, f := range map[string]decode.Format{"ConcatJSON": decode.ConcatJSON, "JSONArray": decode.JSONArray} {
				in := event + event[:cut] + "\n" + strings.Repeat(event, 100)
				if name == "JSONArray" {
					in = "[" + event + "," + event[:cut] + strings.Repeat("\n,"+event, 100)
				}
				d := newReader(strings.NewReader(in), f, maxFrame)
				d.OnBadFrame = func(*decode.FrameError) {}
				got, err := readAll(d)
				var bad *decode.FrameError
				if !errors.As(err, &bad) || !bad.Protocol() || bad.Resync || len(got) > 1 {
					t.Fatalf("%s cut at byte %d with MaxFrame %d: got %d events, error %v, want a final syntax error", name, cut, maxFrame, len(got), err)
				}
			}
		}
	}
}
