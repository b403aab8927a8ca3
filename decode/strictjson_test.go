package decode_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestStrictJSON(t *testing.T) {
	const bad = "the payload is not JSON"
	for _, c := range []struct {
		name   string
		format decode.Format
		in     string
		want   []string
	}{
		{"NDJSON", decode.NDJSON, "{\"a\":1}\n{\"a\":\n\noops\r\n2\n[3]", []string{
			`"{\"a\":1}"`, "8 " + bad, "keepalive", "15 " + bad, `"2"`, `"[3]"`}},
		{"NDJSON too large", decode.NDJSON, strings.Repeat("1", 50) + "\nx\n1\n", []string{"0 too large", "51 " + bad, `"1"`}},
		{"Lines", decode.Lines, "1\nhal", []string{`"1"`, "2 " + bad}},
		{"CRLFJSON", decode.CRLFJSON, "  {\n}\r\n  {\n\r\n1\r\n", []string{`"{\n}"`, "9 " + bad, `"1"`}},
		{"LengthPrefixed", decode.LengthPrefixed, "4\r\n{}\r\n3\r\n{x}\r\n1\n1\n", []string{`"{}"`, "10 " + bad, `"1"`}},
		{"SSE", decode.SSE{}, ": c\n\ndata: 1\n\nid: 1\ndata: [DONE]\n\ndata: {\ndata: x}\n\ndata: {\ndata: }\n\n", []string{
			"keepalive", "keepalive", `"1"`, "26 " + bad, "34 " + bad, `"{\n}"`}},
		{"SSE, the same bytes after it", decode.SSE{}, "data: x\nid: x\n\n", []string{"6 " + bad}},
		{"SSE without a byte", decode.SSE{}, "data\r\n\r\nid: 1\ndata:\r\n\r\n", []string{"0 " + bad, "8 " + bad}},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.StrictJSON(c.format), 40, c.in, c.want) })
	}
}

// Without OnBadFrame, the first payload that is not JSON ends the stream.
func TestStrictJSONIsFinal(t *testing.T) {
	got := frames(strings.NewReader("1\nx\n2\n"), decode.StrictJSON(decode.NDJSON), 0)
	if want := "decode: StrictJSON: frame at byte 2: the payload is not JSON"; len(got) != 2 || got[1] != want {
		t.Errorf("got %q, want a frame and %q", got, want)
	}
}

func FuzzStrictJSON(f *testing.F) {
	fuzz(f, decode.StrictJSON(decode.ConcatJSON), "{}{x} [1]\n\"\\u12\" 1 ", "[[\"\x01\"]]{}")
}
