package decode_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// TestByteOrderMark starts each stream of text with a byte order mark. It is not part of the first
// frame, and only the first mark is skipped.
func TestByteOrderMark(t *testing.T) {
	any, _ := decode.Auto("application/json")
	for _, c := range []struct {
		format decode.Format
		in     string
		want   []string
		second string
	}{
		{decode.SSE{}, "data: 1\n\n", []string{`"1"`}, "keepalive"}, // an unknown field
		{decode.Lines, "1\n2\n", []string{`"1"`, `"2"`}, `"\ufeff1"`},
		{decode.NDJSON, "{}\n[]\n", []string{`"{}"`, `"[]"`}, `"\ufeff{}"`},
		{decode.RSJSON, "{}\x1e", []string{`"{}"`}, `"\ufeff{}"`},
		{decode.CRLFJSON, "{}\r\n[]\r\n", []string{`"{}"`, `"[]"`}, `"\ufeff{}"`},
		{decode.LengthPrefixed, "2\n{}\n", []string{`"{}"`}, "3 final: does not begin with a length"},
		{decode.JSONSeq, "\x1e{}\n", []string{`"{}"`}, "3 not preceded by a record separator"},
		{decode.ConcatJSON, "{}[]", []string{`"{}"`, `"[]"`}, "3 final: invalid character 'ï' looking for beginning of value"},
		{decode.JSONArray, "[{}]", []string{`"{}"`}, "3 final: 'ï' does not start an array"},
		{any, "[{}]", []string{`"{}"`}, "3 final: invalid character 'ï' looking for beginning of value"},
		{any, "{}", []string{`"{}"`}, "3 final: invalid character 'ï' looking for beginning of value"},
		{decode.Uint32Prefixed, "", []string{"0 cut"}, "0 too large"},
	} {
		checkBad(t, c.format, 16, "\ufeff"+c.in, c.want)
		if got := survivors(strings.NewReader("\ufeff\ufeff"+c.in), c.format, 16); len(got) == 0 || got[0] != c.second {
			t.Errorf("%T with two marks: got %q, want %q first", c.format, got, c.second)
		}
	}
}
