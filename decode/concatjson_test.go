package decode_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// nested returns arrays nested depth levels deep.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestConcatJSON(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"without space", `{}{"a":1}[]"b"`, []string{`"{}"`, `"{\"a\":1}"`, `"[]"`, `"\"b\""`}},
		{"line by line", "{}\n{}\r\n[]\n", []string{`"{}"`, `"{}"`, `"[]"`}},
		{"any space", " \t{} \r [] \t", []string{`"{}"`, `"[]"`}},
		{"space inside", "{ \"a\" :\n\n 1 }", []string{`"{ \"a\" :\n\n 1 }"`}},
		{"empty lines", "\n{}\n\n \r\n[] \n", []string{"keepalive", `"{}"`, "keepalive", "keepalive", `"[]"`}},
		{"brackets in strings", `{"a":"}{]["}["]","\""]`, []string{`"{\"a\":\"}{][\"}"`, `"[\"]\",\"\\\"\"]"`}},
		{"backslashes", `"\\""\\\"""\"\\"{"\\":"\\\\"}`, []string{`"\"\\\\\""`, `"\"\\\\\\\"\""`, `"\"\\\"\\\\\""`, `"{\"\\\\\":\"\\\\\\\\\"}"`}},
		{"scalars", "1 true\nnull\tfalse -1.5e+3 ", []string{`"1"`, `"true"`, `"null"`, `"false"`, `"-1.5e+3"`}},
		{"scalars without space", `1"a"true[]null{}`, []string{`"1"`, `"\"a\""`, `"true"`, `"[]"`, `"null"`, `"{}"`}},
		{"the last scalar", "{} 42", []string{`"{}"`, `"42" truncated`}},
		{"the last literal", "true", []string{`"true" truncated`}},
		{"the last scalar is cut", "{}fals", []string{`"{}"`, "2 cut"}},
		{"cut in a string", `{}{"a`, []string{`"{}"`, "2 cut"}},
		{"cut after a backslash", `{} "\`, []string{`"{}"`, "3 cut"}},
		{"cut in a character", "[\"\xe2\x80", []string{"0 cut"}},
		{"invalid value", "{}\n oops", []string{`"{}"`, "4 final: invalid character 'o' looking for beginning of value"}},
		{"comma", "1,2", []string{`"1"`, "1 final: invalid character ',' looking for beginning of value"}},
		{"invalid scalar", "[] truefalse ", []string{`"[]"`, "3 final: invalid character 'f' after number or literal at byte 4 of the value"}},
		{"invalid number", "1-2 ", []string{"0 final: invalid character '-' after number or literal at byte 1 of the value"}},
		{"closing bracket", "{}]", []string{`"{}"`, "2 final: invalid character ']' looking for beginning of value"}},
		{"wrong bracket", `{"a":[1}{}`, []string{"0 final: invalid character '}' after array element at byte 7 of the value"}},
		{"control byte in a string", "{}{\"a\":\"b\n{}", []string{`"{}"`, "2 final: invalid character '\\n' in string literal at byte 7 of the value"}},
		{"escape", `["\x"]`, []string{"0 final: invalid character 'x' in string escape code at byte 3 of the value"}},
		{"hexadecimal", `["\u00eg"]`, []string{`0 final: invalid character 'g' in \u hexadecimal character escape at byte 7 of the value`}},
		{"number", `[1.]`, []string{"0 final: invalid character ']' in numeric literal at byte 3 of the value"}},
		{"literal", `{"a":nul}`, []string{"0 final: invalid character '}' in literal true, false or null at byte 8 of the value"}},
		{"no colon", `{"a",1}`, []string{"0 final: invalid character ',' after object key at byte 4 of the value"}},
		{"no key", `{"a":1,2}`, []string{"0 final: invalid character '2' looking for beginning of object key string at byte 7 of the value"}},
		{"value after a member", `{"a":1 {`, []string{"0 final: invalid character '{' after object key:value pair at byte 7 of the value"}},
		{"comma before the end", `[1,]`, []string{"0 final: invalid character ']' looking for beginning of value at byte 3 of the value"}},
		{"empty", "", nil},
		{"only space", " \r\t ", nil},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.ConcatJSON, 0, c.in, c.want) })
	}
	for _, in := range []string{`{"a":[{}]}`, `["\""]`, `"a"`, "  []"} {
		checkAtOnce(t, decode.ConcatJSON, in, strings.TrimSpace(in))
	}
}

func TestConcatJSONLimit(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{`["345678"]{}`, []string{`"[\"345678\"]"`, `"{}"`}},
		{`["3456789"]{}`, []string{"0 too large", `"{}"`}},
		{` ["3456789\"]\\"]{}`, []string{"1 too large", `"{}"`}},
		{`["\\\\\\\\\\\\"]{}`, []string{"0 too large", `"{}"`}},
		{`{}["` + strings.Repeat(`]\"`, 99) + `",[[]]]{}`, []string{`"{}"`, "2 too large", `"{}"`}},
		{"1234567890 1", []string{`"1234567890"`, `"1" truncated`}},
		{"12345678901 1", []string{"0 too large", `"1" truncated`}},
		{"12345678901{}", []string{"0 too large", `"{}"`}},
		{"12345678901", []string{"0 too large", "0 cut"}},
		{`["345678901`, []string{"0 too large", "0 cut"}},
		{"[\"345678901\n\"]", []string{"0 too large", "0 final: invalid character '\\n' in string literal at byte 11 of the value"}},
		{`{} ["345678901"}`, []string{`"{}"`, "3 too large", "3 final: invalid character '}' after array element at byte 12 of the value"}},
	} {
		checkBad(t, decode.ConcatJSON, 10, c.in, c.want)
	}
}

func TestNesting(t *testing.T) {
	deepest := nested(10_000)
	for _, f := range []decode.Format{decode.ConcatJSON, decode.JSONArray} {
		in, deeper := deepest, nested(10_001)
		if f == (decode.JSONArray) {
			in, deeper = "["+in+"]", "["+deeper+"]"
		}
		check(t, f, 0, in, []string{fmt.Sprintf("%q", deepest)})
		if got := survivors(strings.NewReader(deeper), f, 0); len(got) != 1 || !strings.HasSuffix(got[0], "final: nested too deep at byte 10000 of the value") {
			t.Errorf("%T: got %.100q, want an error about nesting", f, got)
		}
	}
}
