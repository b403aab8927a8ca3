package decode_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

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
		strings.Repeat("[", decode.DefaultMaxFrame),
		strings.Repeat(`{"n":`, decode.DefaultMaxFrame/5),
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

// FuzzField checks that Field returns values of valid JSON only.
func FuzzField(f *testing.F) {
	for _, s := range []string{`{"a":{"b":"1"}}`, ` [1,"a"] `, `{"a":`, `"\ud800"`, `{"a":{"b":1}}x`, nested(20)} {
		f.Add(s, "a.b")
	}
	f.Fuzz(func(t *testing.T, in, path string) {
		if got := decode.Field([]byte(in), "a.b"); got != "" && !json.Valid([]byte(in)) {
			t.Errorf("Field(%q) = %q, want none", in, got)
		}
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
