package decode_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
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
		if got := decode.Field(c.path)([]byte(c.in)); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.path, c.in, got, c.want)
		}
		checked := decode.Check([]byte(c.in))
		if first, again := checked.Field(c.path), checked.Field(c.path); first != c.want || again != c.want {
			t.Errorf("%s of %s, checked: %q and %q, want %q", c.path, c.in, first, again, c.want)
		}
	}
}

// TestFieldOfHostileNesting would overflow the stack if the depth were not looked at first.
func TestFieldOfHostileNesting(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("[", decode.DefaultMaxFrame),
		strings.Repeat(`{"n":`, decode.DefaultMaxFrame/5),
		`{"n":1,"m":` + nested(10_001) + `}`,
	} {
		if got := decode.Field("n")([]byte(in)); got != "" {
			t.Errorf("%.20s...: %q", in, got)
		}
		_, err := readAll(decode.NewReader(strings.NewReader(in), decode.NDJSON{}, 0))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%.20s... as a last line: %v", in, err)
		}
	}
	if got := decode.Field("n")([]byte(`{"n":1,"m":` + nested(9_000) + `}`)); got != "1" {
		t.Errorf("nested, but not too deep: %q", got)
	}
}

func TestSwitch(t *testing.T) {
	type message interface{}
	type added struct{ Name string }
	type moved struct{ From, To int }
	cases := map[string]func([]byte) (message, error){
		"added": func(b []byte) (message, error) { return decode.JSON[added](b) },
		"moved": func(b []byte) (message, error) { return decode.JSON[moved](b) },
		"7":     func([]byte) (message, error) { return "seven", nil },
	}
	closed := decode.Switch("meta.type", cases)
	open := maps.Clone(cases)
	open[""] = func(b []byte) (message, error) { return len(b), nil }
	withRest := decode.Switch("meta.type", open)
	for _, c := range []struct {
		in             string
		want, wantRest message // nil: an error
	}{
		{`{"meta":{"type":"added"},"name":"a"}`, added{"a"}, added{"a"}},
		{`{"meta":{"type":"moved"},"from":1,"to":2}`, moved{1, 2}, moved{1, 2}},
		{`{"meta":{"type":7}}`, "seven", "seven"},
		{`{"meta":{"type":"removed"}}`, nil, 27},
		{`{"meta":{"type":null}}`, nil, 22},
		{`[]`, nil, 2},
		{`{"meta":{"type":"moved"},"from":"x"}`, nil, nil},
		{`{"meta":{"type":"added"},"name":"a"`, nil, nil},
		{`{"meta":{"type":"added"}}}`, nil, nil},
		{``, nil, nil},
	} {
		for i, want := range []message{c.want, c.wantRest} {
			route := closed
			if i == 1 {
				route = withRest
			}
			got, err := route([]byte(c.in))
			if want == nil && err == nil || want != nil && (got != want || err != nil) {
				t.Errorf("%s: %v, %v; want %v", c.in, got, err, want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "decode: ") {
				t.Errorf("%s: %v", c.in, err)
			}
		}
	}
}

// FuzzField holds that what is taken from a payload is taken from valid JSON.
func FuzzField(f *testing.F) {
	for _, s := range []string{`{"a":{"b":"1"}}`, ` [1,"a"] `, `{"a":`, `"\ud800"`, `{"a":{"b":1}}x`, nested(20)} {
		f.Add(s, "a.b")
	}
	f.Fuzz(func(t *testing.T, in, path string) {
		if got := decode.Field("a.b")([]byte(in)); got != "" && !json.Valid([]byte(in)) {
			t.Errorf("%q: %q", in, got)
		}
		decode.Field(path)([]byte(in))
	})
}

// A number is a position at some feeds: it must come back as it was sent.
func TestFieldLeavesNumbersAlone(t *testing.T) {
	field := decode.Field("n")
	for _, n := range []string{
		"0", "-7", "1.10", "1700000000.123456789", "12345678901234567890.0", "1e3", "1E+400", "-0", "0.1e-400",
	} {
		if got := field([]byte(`{"n":` + n + `}`)); got != n {
			t.Errorf("%s: %q", n, got)
		}
	}
	if got := decode.Field("n.#")([]byte(`{"n":[1,2]}`)); got != "2" {
		t.Errorf("a number that is not in the payload: %q", got)
	}
}

// RFC 8259, section 8.1: a parser may skip a byte order mark instead of failing.
func TestJSONByteOrderMark(t *testing.T) {
	const payload = "\ufeff{\"id\":1}"
	if got := decode.Field("id")([]byte(payload)); got != "1" {
		t.Errorf("Field: %q", got)
	}
	v, err := decode.JSON[struct{ ID int }]([]byte(payload))
	if err != nil || v.ID != 1 {
		t.Errorf("JSON: %v, %v", v, err)
	}
	if got := decode.Field("id")([]byte("\ufeff" + payload)); got != "" {
		t.Errorf("after two of them: %q", got)
	}
}
