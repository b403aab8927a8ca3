package decode_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestJSONSeq(t *testing.T) {
	const (
		junk   = "not preceded by a record separator"
		short  = "cut short by the next record"
		maybe  = "not followed by white space, so it may be cut short"
		scalar = "invalid character 'o' in literal true, false or null at byte 1 of the value"
	)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"records", "\x1e{}\n\x1e[1]\n\x1e\"a\"\n", []string{`"{}"`, `"[1]"`, `"\"a\""`}},
		{"no line feed", "\x1e{}\x1e[1]\x1e\"a\"", []string{`"{}"`, `"[1]"`, `"\"a\""`}},
		{"space around", "\x1e {\n} \t\n \x1e\r\n{}\r\n", []string{`"{\n}"`, `"{}"`}},
		{"scalars", "\x1e42\n\x1etrue \x1enull\t\x1e-1\r\n", []string{`"42"`, `"true"`, `"null"`, `"-1"`}},
		{"scalar before a record", "\x1e42\x1e421\n", []string{"1 " + short, `"421"`}},
		{"literal before a record", "\x1etrue\x1e{}\n", []string{"1 " + short, `"{}"`}},
		{"scalar at the end", "\x1e{}\n\x1e42", []string{`"{}"`, "5 cut"}},
		{"scalar before a bracket", "\x1e42{}\n\x1e1\n", []string{"1 " + maybe, `"1"`}},
		{"invalid scalar", "\x1enope\n\x1e1\n", []string{"1 " + scalar, `"1"`}},
		{"cut by the next", "\x1e{\"a\":\"\x1e{}\n", []string{"1 " + short, `"{}"`}},
		{"cut at the end", "\x1e{}\n\x1e{\"a", []string{`"{}"`, "5 cut"}},
		{"nothing in the last record", "\x1e{}\n\x1e\n", []string{`"{}"`, "6 cut"}},
		{"wrong bracket", "\x1e{]\n\x1e{}\n", []string{"1 invalid character ']' looking for beginning of object key string at byte 1 of the value", `"{}"`}},
		{"invalid value", "\x1e}\n\x1e{}\n", []string{"1 invalid character '}' looking for beginning of value", `"{}"`}},
		{"value after a value", "\x1e{}{}\n\x1e1\n", []string{`"{}"`, "3 " + junk, `"1"`}},
		{"text after a value", "\x1e{} x\n\x1e1\n", []string{`"{}"`, "4 " + junk, `"1"`}},
		{"before the first record", "\n{}\x1e1\n", []string{"keepalive", "1 " + junk, `"1"`}},
		{"separators", "\x1e\x1e\x1e{}\n\x1e\n\x1e1\n", []string{"keepalive", "keepalive", `"{}"`, "keepalive", `"1"`}},
		{"empty lines", "\x1e{}\n\n\r\n\x1e1\n", []string{`"{}"`, "keepalive", "keepalive", `"1"`}},
		{"limit", "\x1e[2345678]\n\x1e[23456789]\n\x1e1\n", []string{`"[2345678]"`, "12 too large", `"1"`}},
		{"limit of scalars", "\x1e123456789\n\x1e1234567890\n\x1e1\n", []string{`"123456789"`, "12 too large", `"1"`}},
		{"too large and cut", "\x1e[2345678901234", []string{"1 too large"}},
		{"long junk", "\x1e{} 2345678901234567890", []string{`"{}"`, "4 " + junk}},
		{"empty", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.JSONSeq, 9, c.in, c.want) })
	}
	checkAtOnce(t, decode.JSONSeq, "\x1e{\"a\":1}", `{"a":1}`)
	checkAtOnce(t, decode.JSONSeq, "\x1e42\n", "42")
}
