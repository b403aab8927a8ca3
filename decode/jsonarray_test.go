package decode_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestJSONArray(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"elements", `[{},[1,"a]"],"b",null]`, []string{`"{}"`, `"[1,\"a]\"]"`, `"\"b\""`, `"null"`}},
		{"scalars", `[1,true,null ]`, []string{`"1"`, `"true"`, `"null"`}},
		{"empty array", "[]", nil},
		{"empty with space", " [ ] \r\n", nil},
		{"laid out", "[\n  {},\n  {}\n]\n", []string{`"{}"`, `"{}"`}},
		{"commas first", "[{}\n,{}\n]", []string{`"{}"`, `"{}"`}},
		{"empty lines", "\n[\n\n{}\n,\n{},\n\n\n1\n]\n\n", []string{
			"keepalive", "keepalive", `"{}"`, "keepalive", `"{}"`, "keepalive", "keepalive", `"1"`, "keepalive"}},
		{"cut before an element", "[{},", []string{`"{}"`, "4 cut"}},
		{"cut after an element", "[{}", []string{`"{}"`, "3 cut"}},
		{"cut in an element", `[{},{"a`, []string{`"{}"`, "4 cut"}},
		{"cut in a scalar", "[{},1", []string{`"{}"`, "4 cut"}},
		{"cut at once", "[", []string{"1 cut"}},
		{"no array", "{}", []string{"0 final: '{' does not start an array"}},
		{"no comma", "[{} {}]", []string{`"{}"`, "4 final: '{' follows an element instead of a comma or ]"}},
		{"nothing before a comma", "[,{}]", []string{"1 final: invalid character ',' looking for beginning of value"}},
		{"nothing between commas", "[1,,2]", []string{`"1"`, "3 final: invalid character ',' looking for beginning of value"}},
		{"nothing after a comma", "[1,]", []string{`"1"`, "3 final: invalid character ']' looking for beginning of value"}},
		{"wrong bracket", "[{}}", []string{`"{}"`, "3 final: '}' follows an element instead of a comma or ]"}},
		{"wrong bracket inside", `[{"a":[}]`, []string{"1 final: invalid character '}' looking for beginning of value at byte 6 of the value"}},
		{"invalid scalar", "[01]", []string{"1 final: invalid character '1' after number or literal at byte 1 of the value"}},
		{"control byte in a string", "[{\"\x01\"},1]", []string{"1 final: invalid character '\\x01' in string literal at byte 2 of the value"}},
		{"more after the array", "[1] [2]", []string{`"1"`, "4 final: '[' follows the array"}},
		{"empty", "", nil},
		{"limit", `["34567890",["45678901"],1]`, []string{`"\"34567890\""`, "12 too large", `"1"`}},
		{"limit of scalars", `[1234567890,12345678901,12345678901]`, []string{`"1234567890"`, "12 too large", "24 too large"}},
		{"too large and cut", `[12345678901`, []string{"1 too large", "1 cut"}},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.JSONArray, 10, c.in, c.want) })
	}
	for _, in := range []string{`[{"a":1}`, `[ {"a":1}`} {
		checkAtOnce(t, decode.JSONArray, in, `{"a":1}`)
	}
	checkAtOnce(t, decode.JSONArray, "[12,", "12")
}
