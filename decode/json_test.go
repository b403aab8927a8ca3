package decode_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/steadfeed/steadfeed/decode"
)

func TestField(t *testing.T) {
	for _, c := range []struct{ path, in, want string }{
		{"data.id", `{"data":{"id":"7"}}`, "7"},
		{"seq", `{"seq":[3,"x"]}`, `[3,"x"]`},
		{"n", `{"n":1234567890123456789}`, "1234567890123456789"},
		{"n", `{"n":null}`, ""},
		{"n", `{}`, ""},
		{"n", `{"n":1`, ""},
		{"n", `{"n":1}}`, ""},
		{"n", ``, ""},
	} {
		if got := decode.Field([]byte(c.in), c.path); got != c.want {
			t.Errorf("Field(%s, %q) = %q, want %q", c.in, c.path, got, c.want)
		}
		field := decode.Fields([]byte(c.in))
		if first, second := field(c.path), field(c.path); first != c.want || second != c.want {
			t.Errorf("Fields(%s)(%q) = %q, then %q, want %q", c.in, c.path, first, second, c.want)
		}
	}
}

// TestFieldOfDeepNesting would overflow the stack if the depth were not checked first.
func TestFieldOfDeepNesting(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("[", 4<<20),
		strings.Repeat(`{"n":`, 4<<20/5),
		`{"n":1,"m":` + nested(10_001) + `}`,
	} {
		if got := decode.Field([]byte(in), "n"); got != "" {
			t.Errorf("Field(%.20s...) = %q, want none", in, got)
		}
		_, err := readAll(decode.NewReader(strings.NewReader(in), decode.NDJSON))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%.20s... as a last line: got error %v, want io.ErrUnexpectedEOF", in, err)
		}
	}
	if got := decode.Field([]byte(`{"n":1,"m":`+nested(9_000)+`}`), "n"); got != "1" {
		t.Errorf("Field of a payload nested 9,000 levels deep = %q, want 1", got)
	}
}

// samples have every place of the grammar, names that occur twice, and names with escapes.
var samples = []string{
	`{"a":{"b":"1","c":[1,-2.5e+3,true,false,null]},"n":0}`,
	`{"x":[{"a":{"b":2}}],"a":3,"a":{"c":{"b":4},"b":{"b":5}},"a":{"b":6}}`,
	` { "a" : { "c" : [ ] , "b" : "\u00e9\"#\\ é" } } `,
	`{"\u0061":{"b":7},"a":{"b":null,"b":8}}`,
	`{"a":{"c":1},"n":{"b":2},"a":{"b":3}}`,
	`{"a\"":1,"a":[{"b":9}],"b":true}`,
	`[{"a":{"b":1}},[[]],{}]`,
	`{"a":{}}`, `"a"`, `1`, ` -0.0E-1 `, `true`,
}

// checkField compares Field and StrictJSON with encoding/json and, for a valid payload, gjson.
func checkField(t *testing.T, in, path string) {
	t.Helper()
	payload := strings.TrimPrefix(in, "\ufeff")
	isValid := json.Valid([]byte(payload))
	want := ""
	if isValid {
		if want = gjson.Get(payload, path).String(); gjson.Get(payload, path).Type == gjson.Number {
			want = gjson.Get(payload, path).Raw
		}
	}
	if got := decode.Field([]byte(in), path); got != want {
		t.Fatalf("Field(%q, %q): got %q, want %q", in, path, got, want)
	}
	if got := decode.Fields([]byte(in))(path); got != want {
		t.Fatalf("Fields(%q)(%q): got %q, want %q", in, path, got, want)
	}
	if payload == "" || payload != in {
		return
	}
	framed := string(binary.BigEndian.AppendUint32(nil, uint32(len(in)))) + in
	f, err := next(decode.NewReader(strings.NewReader(framed), decode.StrictJSON(decode.Uint32Prefixed)))
	if got := err == nil && string(f.Data) == in; got != isValid {
		t.Fatalf("StrictJSON of %q: got error %v, want valid = %t", in, err, isValid)
	}
}

// TestFieldOfDamagedPayload replaces, removes and repeats each byte of valid payloads, at different
// places of a block of 64 bytes.
func TestFieldOfDamagedPayload(t *testing.T) {
	const bytes = "\x00\x1f \"#\\{}[]:,0.e-tu\x7f\xff"
	for _, sample := range samples {
		for _, pad := range []int{0, 43} {
			in := sample[:1] + strings.Repeat(" ", pad) + sample[1:]
			checkField(t, in, "a.b")
			for i := range in {
				checkField(t, in[:i], "a.b")
				checkField(t, in[:i]+in[i+1:], "a.b")
				checkField(t, in[:i]+in[i:i+1]+in[i:], "a.b")
				for _, c := range []byte(bytes) {
					checkField(t, in[:i]+string([]byte{c})+in[i+1:], "a.b")
				}
			}
		}
	}
}

// TestFieldPaths looks for paths of which some are only names and some mean more to gjson.
func TestFieldPaths(t *testing.T) {
	for _, in := range samples {
		for _, path := range []string{
			"a", "b", "n", "x", "a.b", "a.c", "a.b.b", "a.c.0", "x.0.a.b", "x.#.a.b", "a-b", "a.b.", ".a", "a..b", "", "*", "a.?",
			"@this", "a|b", "0", "#", "{a,n}", `\a`, "a.b.c.d",
		} {
			checkField(t, in, path)
		}
	}
}

// TestFieldAfterText puts a field after a text of many lengths.
func TestFieldAfterText(t *testing.T) {
	for _, filler := range []string{"x", "é", `\"`, `\u00e9`, "a\x80#"} {
		for n := 0; n < 700; n += 1 + n/64 {
			checkField(t, `{"t":"`+strings.Repeat(filler, n)+`","a":{"b":"1"}}`, "a.b")
			checkField(t, `{"t":"`+strings.Repeat(filler, n)+"\n"+`","a":{"b":"1"}}`, "a.b")
		}
	}
}

// FuzzField compares with encoding/json and gjson.
func FuzzField(f *testing.F) {
	for _, s := range append(samples, `{"a":`, `"\ud800"`, `{"a":{"b":1}}x`, nested(20)) {
		f.Add(s, "a.b")
	}
	f.Fuzz(func(t *testing.T, in, path string) {
		checkField(t, in, "a.b")
		decode.Field([]byte(in), path)
	})
}

// A number can be a position: Field must return it as it was sent.
func TestFieldKeepsNumbers(t *testing.T) {
	for _, n := range []string{
		"0", "-7", "1.10", "1700000000.123456789", "12345678901234567890.0", "1e3", "1E+400", "-0", "0.1e-400",
	} {
		if got := decode.Field([]byte(`{"n":`+n+`}`), "n"); got != n {
			t.Errorf("Field = %q, want %q", got, n)
		}
	}
	if got := decode.Field([]byte(`{"n":[1,2]}`), "n.#"); got != "2" {
		t.Errorf("Field(n.#) = %q, want 2", got)
	}
}

// RFC 8259, section 8.1: a parser may skip a byte order mark instead of failing.
func TestJSONByteOrderMark(t *testing.T) {
	const payload = "\ufeff{\"id\":1}"
	if got := decode.Field([]byte(payload), "id"); got != "1" {
		t.Errorf("Field = %q, want 1", got)
	}
	v, err := decode.JSON[struct{ ID int }]([]byte(payload))
	if err != nil || v.ID != 1 {
		t.Errorf("JSON = %v, %v, want {1}", v, err)
	}
	if got := decode.Field([]byte("\ufeff"+payload), "id"); got != "" {
		t.Errorf("Field after two marks = %q, want none", got)
	}
}
