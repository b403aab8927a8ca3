package decode_test

import (
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
		if got := decode.Field(c.path)([]byte(c.in)); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.path, c.in, got, c.want)
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
