package decode_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestNDJSON(t *testing.T) {
	cases := []struct {
		name, in string
		want     []string
	}{
		{"lines", "{\"a\":1}\n[2]\r\n3\n", []string{`"{\"a\":1}"`, `"[2]"`, `"3"`}},
		{"empty lines", "\n\r\n1\n", []string{"keepalive", "keepalive", `"1"`}},
		{"CR inside", "a\rb\n", []string{`"a\rb"`}},
		{"not JSON", "oops\n{}\n", []string{`"oops"`, `"{}"`}},
		{"last object", "1\n{\"a\":1}", []string{`"1"`, `"{\"a\":1}"`}},
		{"last array", "[1]\r", []string{`"[1]"`}},
		{"last string", `"a"`, []string{`"\"a\""`}},
		{"last object after space", "\t {}", []string{`"\t {}"`}},
		{"last line of space", "1\n \t", []string{`"1"`, "cut"}},
		{"last number may be cut", "1\n42", []string{`"1"`, "cut"}},
		{"last literal may be cut", "true", []string{"cut"}},
		{"last object is cut", `{"a":`, []string{"cut"}},
		{"last CR", "1\n\r", []string{`"1"`, "cut"}},
		{"empty", "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, decode.NDJSON, 0, c.in, c.want) })
	}
	t.Run("limit", func(t *testing.T) {
		check(t, decode.NDJSON, 4, "1234\n1234\r\n12345\n1\n", []string{`"1234"`, `"1234"`, "too large"})
		check(t, decode.NDJSON, 4, strings.Repeat("x", 1000), []string{"too large"})
		check(t, decode.NDJSON, -1, strings.Repeat("x", 1000)+"\n", []string{fmt.Sprintf("%q", strings.Repeat("x", 1000))})
	})
}

func TestNDJSONLimit(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"1234\r\n12345\r\n1\n", []string{`"1234"`, "6 too large", `"1"`}},
		{"[12]", []string{`"[12]"`}},
		{"[123]", []string{"0 too large"}},
		{"1\n[123]\r", []string{`"1"`, "2 too large"}},
		{"12345678\n[1]", []string{"0 too large", `"[1]"`}},
	} {
		checkBad(t, decode.NDJSON, 4, c.in, c.want)
	}
}
